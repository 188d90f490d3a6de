// A model's figures on a list of images: shared by validation during training and by eval_unet.
#pragma once

#include <functional>
#include <vector>

#include "engine/data/loader.h"
#include "engine/train/metrics.h"
#include "models/unet.h"

namespace unet {

/// A batch of the loader as tensors: images u8 [N,H,W,3], labels u8 [N,H,W].
struct BatchTensors {
  Tensor images, labels;
};
BatchTensors to_tensors(const Batch& batch);

struct Evaluation {
  explicit Evaluation(int classes) : metrics(classes) {}

  double cross_entropy = 0;   // mean over counted pixels
  double soft_dice_loss = 0;  // mean over images
  SegmentationMetrics metrics;
  std::vector<Scores> per_image;  // in the order of the list
  double seconds = 0;
};

/// Runs the model over one pass of the loader (in list order) on inference tapes. visit, if given, sees each batch with
/// its arg-max prediction u8 [N,H,W].
Evaluation evaluate(models::UNet& model, Loader& loader,
                    const std::function<void(const Batch& batch, const Tensor& prediction)>& visit = {});

}  // namespace unet

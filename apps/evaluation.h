// A model's figures on a list of images: shared by validation during training and by eval_unet.
#pragma once

#include <functional>
#include <vector>

#include "apps/machine.h"
#include "engine/data/loader.h"
#include "engine/train/metrics.h"
#include "models/unet.h"

namespace unet {

/// A batch of the loader as tensors of a device: images u8 [N,H,W,3], labels u8 [N,H,W].
struct BatchTensors {
  Tensor images, labels;
};
BatchTensors to_tensors(const Batch& batch, Device device);

struct Evaluation {
  explicit Evaluation(int classes) : metrics(classes) {}

  double cross_entropy = 0;   // mean over counted pixels
  double soft_dice_loss = 0;  // mean over images
  SegmentationMetrics metrics;
  std::vector<Scores> per_image;  // in the order of the list
  double seconds = 0;
};

/// Runs the model over one pass of the loader (in list order) on inference tapes. visit, if given, sees each batch with
/// its arg-max prediction u8 [N,H,W], on the host.
Evaluation evaluate(models::UNet& model, const Machine& machine, Loader& loader,
                    const std::function<void(const Batch& batch, const Tensor& prediction)>& visit = {});

}  // namespace unet

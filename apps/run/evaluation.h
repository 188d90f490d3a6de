// A model's figures on a list of images: shared by validation during training and by eval_unet.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "apps/run/predictor.h"
#include "engine/data/loader.h"
#include "engine/train/metrics.h"
#include "models/segmenter.h"

namespace unet {

/// A batch of the loader as tensors of a device: images u8 [N,H,W,3], labels u8 [N,H,W].
struct BatchTensors {
  Tensor images, labels;
};
BatchTensors to_tensors(const Batch& batch, Device device);
/// The n-th image of a batch, [H,W,3].
Image photo_of(const Batch& batch, std::int64_t n);

struct Evaluation {
  Evaluation(int classes, Background background) : metrics(classes, background) {}

  std::optional<double> cross_entropy;   // mean over counted pixels; nothing if every pixel is ignored
  std::optional<double> soft_dice_loss;  // mean over the images that are not all ignored, likewise
  std::optional<double> asked_loss;      // mean over the batches by their images, if one is asked for
  SegmentationMetrics metrics;
  std::vector<kernels::ClassCounts> counts;  // of the images in the order of the list, one for each class
  double seconds = 0;
};

/// What a visitor of evaluate() sees of a batch, on the model's device.
struct Predicted {
  const Batch& batch;
  const Tensor& images;  // u8 [N,H,W,3]; undefined where tiles were made of them
  const Tensor& logits;  // f32 [N,H,W,C]; likewise. Of several views (--tta) the logarithms of probabilities
  const Tensor& labels;  // the arg-max, u8 [N,H,W]
};

/// Batches of a loader, all but if told otherwise.
struct BatchRange {
  std::int64_t begin = 0, end = std::numeric_limits<std::int64_t>::max();
};

/// A loss of logits [N,H,W,C] and labels [N,H,W] on the model's device: [1] in f64.
using LossOfBatch = std::function<Var(Tape&, const Var& logits, const Tensor& labels)>;

/// What a network is shown of an image, and who looks at what it says.
struct Views {
  Tta tta = Tta::none;
  /// Sees tiles and several views; of plain batches only that a pass begins: `visit` is to show it their logits.
  LogitsCheck* check = nullptr;
  /// Sees every pixel once: logits f32 [N,H,W,C] and labels u8 [N,H,W] of a batch, or of rows of a picture.
  std::function<void(const Tensor& logits, const Tensor& labels)> pixels = {};
};

/// Runs the model over these batches of the loader (in list order) on inference tapes. Of pictures at their own sizes
/// (Frame::own) it makes tiles (tiles.h) of the loader's size: the figures are then those of the pictures as a whole,
/// at their own scale, and the asked loss is that of a row of tiles, weighted by its pixels. Memory is bounded as
/// there.
Evaluation evaluate(models::Segmenter& model, Background background, Loader& loader,
                    const std::function<void(const Predicted&)>& visit = {}, BatchRange range = {},
                    const LossOfBatch& asked_loss = {}, const Views& views = {});

}  // namespace unet

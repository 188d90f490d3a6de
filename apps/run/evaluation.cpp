#include "apps/run/evaluation.h"

#include <algorithm>
#include <cmath>

#include "apps/run/tiles.h"
#include "engine/core/dispatch.h"
#include "engine/core/error.h"
#include "engine/core/stopwatch.h"
#include "engine/ops/ops.h"
#include "kernels/confusion.h"

namespace unet {
namespace {

using kernels::ClassCounts;
using kernels::CrossEntropySums;
using kernels::SoftDiceSpec;

/// Of pixels, from their logits: what adds up over the parts of an image.
struct PixelSums {
  CrossEntropySums cross_entropy;
  std::vector<ClassCounts> counts;  // [N,C]
  Tensor labels;                    // the arg-max, u8 [N,H,W,1]
};

/// logits [N,H,W,C] and labels [N,H,W] on one device. Throws Error on labels beyond the classes.
PixelSums sums_of(const Tensor& logits, const Tensor& labels) {
  const Device device = logits.device(), host;
  const std::int64_t N = logits.shape()[0], H = logits.shape()[1], W = logits.shape()[2], classes = logits.shape()[3];
  const kernels::ConstView x = logits.const_view();
  const kernels::ConstView truth = labels.reshape({N, H, W, 1}).const_view();
  const Tensor sums = Tensor::empty({sizeof(CrossEntropySums)}, Dtype::u8, device);
  const Scratch scratch(dispatch<cpu::cross_entropy_scratch, cuda::cross_entropy_scratch>(device, x), device);
  dispatch<cpu::cross_entropy_forward, cuda::cross_entropy_forward>(device, kernels::CrossEntropySpec(), x, truth,
                                                                    kernels::ConstView(), sums.data<CrossEntropySums>(),
                                                                    scratch.data());
  const Tensor counts =
      Tensor::empty({N * classes * static_cast<std::int64_t>(sizeof(ClassCounts))}, Dtype::u8, device);
  PixelSums out;
  out.labels = Tensor::empty({N, H, W, 1}, Dtype::u8, device);
  dispatch<cpu::confusion, cuda::confusion>(device, x, truth, kernels::CrossEntropySpec().ignore_index,
                                            counts.data<ClassCounts>(), out.labels.view());
  const Tensor host_sums = sums.to(host), host_counts = counts.to(host);
  out.cross_entropy = *host_sums.data<CrossEntropySums>();
  const auto* first = host_counts.data<ClassCounts>();
  out.counts.assign(first, first + N * classes);
  if (out.cross_entropy.invalid > 0) {
    throw Error("{} pixels of the masks hold values outside the checkpoint's {} classes", out.cross_entropy.invalid,
                classes);
  }
  return out;
}

/// Their softmax is p again. A probability that a float cannot hold counts as the least that it can.
Tensor logarithms(const float* p, const Shape& shape, Device device) {
  std::vector<float> out(p, p + shape.size());
  for (float& value : out) value = std::log(std::max(value, std::numeric_limits<float>::min()));
  return Tensor::copy_of(shape, Dtype::f32, out.data(), device);
}

/// An evaluation under way.
struct Evaluator {
  Evaluator(models::Segmenter& of, Background background, Loader& images, const Views& views)
      : model(of),
        loader(images),
        tta(views.tta),
        check(views.check),
        pixels(views.pixels),
        predictor(of, views.tta, views.check),
        out(static_cast<int>(of.spec().classes), background) {
    dice_spec.background = background == Background::none;
  }

  std::string name_of(const Batch& batch, std::int64_t n) const {
    return loader.sample(batch.indices[static_cast<std::size_t>(n)]).name;
  }

  void add_cross_entropy(const CrossEntropySums& more) {
    cross_entropy.loss += more.loss;
    cross_entropy.weight += more.weight;
  }

  void add_counts(const std::vector<ClassCounts>& counts) {
    out.metrics.add(counts);
    out.counts.insert(out.counts.end(), counts.begin(), counts.end());
  }

  /// [N,H,W,C] on the model's device.
  Var logits_of(Tape& tape, const Batch& batch, const Tensor& images) {
    if (tta == Tta::none) {
      if (check != nullptr) check->watch(tape);
      return models::logits(model, tape, images);
    }
    std::vector<float> all;
    for (std::int64_t n = 0; n < batch.N; ++n) {
      const std::vector<float> p = predictor(photo_of(batch, n), name_of(batch, n));
      all.insert(all.end(), p.begin(), p.end());
    }
    return tape.input(logarithms(all.data(), {batch.N, batch.H, batch.W, predictor.classes()}, model.device()));
  }

  void add_batch(const Batch& batch, const std::function<void(const Predicted&)>& visit,
                 const LossOfBatch& asked_loss) {
    const auto [images, labels] = to_tensors(batch, model.device());
    Tape tape(Tape::Mode::inference);
    const Var logits = logits_of(tape, batch, images);
    const Var dice_loss = soft_dice_loss(tape, logits, labels, dice_spec);
    const Var asked = asked_loss ? asked_loss(tape, logits, labels) : Var();
    const PixelSums sums = sums_of(logits.value, labels);
    add_cross_entropy(sums.cross_entropy);
    add_counts(sums.counts);
    if (pixels) pixels(logits.value, labels);
    dice_loss_sum += dice_loss.value.values<double>()[0] * static_cast<double>(batch.N);
    if (asked_loss) asked_loss_sum += asked.value.values<double>()[0] * static_cast<double>(batch.N);
    if (visit) visit({batch, images, logits.value, sums.labels.reshape({batch.N, batch.H, batch.W})});
  }

  /// One picture at its own size.
  void add_picture(Batch& batch, const std::function<void(const Predicted&)>& visit, const LossOfBatch& asked_loss) {
    const Device device = model.device();
    const std::int64_t C = predictor.classes();
    std::vector<ClassCounts> counts(static_cast<std::size_t>(C));
    std::vector<double> dice(static_cast<std::size_t>(3 * C));
    const Tensor predicted = Tensor::empty({1, batch.H, batch.W}, Dtype::u8, Device());
    Image photo;
    photo.width = static_cast<int>(batch.W);
    photo.height = static_cast<int>(batch.H);
    photo.channels = 3;
    photo.pixels.swap(batch.images);  // as long as it takes: a picture may be large
    predict_tiles(predictor, photo, {loader.options().height, loader.options().width}, name_of(batch, 0),
                  [&](int y, int rows, const float* p) {
                    const Tensor logits = logarithms(p, {1, rows, batch.W, C}, device);
                    const Tensor labels =
                        Tensor::copy_of({1, rows, batch.W}, Dtype::u8, batch.labels.data() + y * batch.W, device);
                    const PixelSums sums = sums_of(logits, labels);
                    add_cross_entropy(sums.cross_entropy);
                    for (std::size_t c = 0; c < counts.size(); ++c) {
                      counts[c].both += sums.counts[c].both;
                      counts[c].predicted += sums.counts[c].predicted;
                      counts[c].truth += sums.counts[c].truth;
                    }
                    add_dice(logits, labels, dice);
                    if (pixels) pixels(logits, labels);
                    const Tensor claimed = sums.labels.to(Device());
                    std::copy_n(claimed.data<std::uint8_t>(), claimed.size(),
                                predicted.data<std::uint8_t>() + y * batch.W);
                    if (!asked_loss) return;
                    Tape tape(Tape::Mode::inference);
                    const double share = static_cast<double>(rows) / static_cast<double>(batch.H);
                    asked_loss_sum += asked_loss(tape, tape.input(logits), labels).value.values<double>()[0] * share;
                  });
    photo.pixels.swap(batch.images);
    add_counts(counts);
    dice_loss_sum += dice_loss_of(dice);
    if (visit) visit({batch, Tensor(), Tensor(), predicted});
  }

  /// dice [C,3] += the sums of kernels/soft_dice.h over these rows of an image.
  void add_dice(const Tensor& logits, const Tensor& labels, std::vector<double>& dice) const {
    const Device device = logits.device();
    const kernels::ConstView x = logits.const_view();
    const Shape& shape = logits.shape();
    const kernels::ConstView truth = labels.reshape({1, shape[1], shape[2], 1}).const_view();
    const Tensor sums = Tensor::empty({static_cast<std::int64_t>(dice.size())}, Dtype::f64, device);
    const Tensor result = Tensor::empty({sizeof(kernels::SoftDiceResult)}, Dtype::u8, device);
    const Scratch scratch(dispatch<cpu::soft_dice_scratch, cuda::soft_dice_scratch>(device, x), device);
    dispatch<cpu::soft_dice_forward, cuda::soft_dice_forward>(device, dice_spec, x, truth, sums.data<double>(),
                                                              result.data<kernels::SoftDiceResult>(), scratch.data());
    const std::vector<double> more = sums.values<double>();
    for (std::size_t i = 0; i < dice.size(); ++i) dice[i] += more[i];
  }

  /// The loss of one image from its sums; its formula and corners are those of kernels/soft_dice.h.
  double dice_loss_of(const std::vector<double>& sums) const {
    const std::size_t classes = sums.size() / 3, first = dice_spec.background || classes == 1 ? 0 : 1;
    double mean = 0;
    for (std::size_t c = first; c < classes; ++c) {
      mean += (2 * sums[3 * c] + dice_spec.smooth) / (sums[3 * c + 1] + sums[3 * c + 2] + dice_spec.smooth);
    }
    return 1 - mean / static_cast<double>(classes - first);
  }

  models::Segmenter& model;
  Loader& loader;
  const Tta tta;
  LogitsCheck* const check;
  const std::function<void(const Tensor&, const Tensor&)>& pixels;
  Predictor predictor;
  SoftDiceSpec dice_spec;
  CrossEntropySums cross_entropy;
  double dice_loss_sum = 0, asked_loss_sum = 0;
  Evaluation out;
};

}  // namespace

BatchTensors to_tensors(const Batch& batch, Device device) {
  return {Tensor::copy_of({batch.N, batch.H, batch.W, 3}, Dtype::u8, batch.images.data(), device),
          Tensor::copy_of({batch.N, batch.H, batch.W}, Dtype::u8, batch.labels.data(), device)};
}

Image photo_of(const Batch& batch, std::int64_t n) {
  Image out(static_cast<int>(batch.W), static_cast<int>(batch.H), 3);
  std::copy_n(batch.images.data() + n * batch.H * batch.W * 3, out.pixels.size(), out.pixels.begin());
  return out;
}

Evaluation evaluate(models::Segmenter& model, Background background, Loader& loader,
                    const std::function<void(const Predicted&)>& visit, BatchRange range, const LossOfBatch& asked_loss,
                    const Views& views) {
  const Stopwatch watch;
  Evaluator evaluator(model, background, loader, views);
  loader.start(0, range.begin);
  for (std::int64_t number = range.begin; number < range.end; ++number) {
    std::optional<Batch> batch = loader.next();
    if (!batch) break;
    if (loader.options().frame == Frame::own) {
      evaluator.add_picture(*batch, visit, asked_loss);
    } else {
      evaluator.add_batch(*batch, visit, asked_loss);
    }
    loader.give_back(*std::move(batch));
  }
  Evaluation& out = evaluator.out;
  if (evaluator.cross_entropy.weight > 0) {
    out.cross_entropy = evaluator.cross_entropy.loss / evaluator.cross_entropy.weight;
  }
  // An image whose pixels are all ignored adds nothing to the sum.
  const std::int64_t counted = out.metrics.images() - out.metrics.ignored();
  if (counted > 0) out.soft_dice_loss = evaluator.dice_loss_sum / static_cast<double>(counted);
  if (asked_loss) out.asked_loss = evaluator.asked_loss_sum / static_cast<double>(out.metrics.images());
  out.seconds = watch.seconds();
  return std::move(out);
}

}  // namespace unet

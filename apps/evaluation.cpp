#include "apps/evaluation.h"

#include <chrono>

#include "engine/core/error.h"
#include "kernels/confusion.h"

namespace unet {

BatchTensors to_tensors(const Batch& batch) {
  return {Tensor::copy_of({batch.N, batch.H, batch.W, 3}, Dtype::u8, batch.images.data()),
          Tensor::copy_of({batch.N, batch.H, batch.W}, Dtype::u8, batch.labels.data())};
}

Evaluation evaluate(models::UNet& model, Loader& loader,
                    const std::function<void(const Batch& batch, const Tensor& prediction)>& visit) {
  const auto begin = std::chrono::steady_clock::now();
  const std::int64_t classes = model.spec().classes;
  Evaluation out(static_cast<int>(classes));
  kernels::CrossEntropySums total;
  std::vector<kernels::ClassCounts> counts;
  loader.start(0);
  while (const std::optional<Batch> batch = loader.next()) {
    const auto [images, labels] = to_tensors(*batch);
    Tape tape(Tape::Mode::inference);
    const Var logits =
        model.forward(tape, normalize_images(tape, images, imagenet_normalization(), 3, model.parameters().dtype()));
    const kernels::ConstView x = logits.value.const_view();
    const kernels::ConstView truth = labels.reshape({batch->N, batch->H, batch->W, 1}).const_view();

    const Scratch scratch(kernels::cpu::cross_entropy_scratch(x), labels.device());
    kernels::CrossEntropySums sums;
    kernels::cpu::cross_entropy_forward({}, x, truth, {}, &sums, scratch.data());
    if (sums.invalid > 0) {
      throw Error("{} pixels of the masks hold values outside the checkpoint's {} classes", sums.invalid, classes);
    }
    total.loss += sums.loss;
    total.weight += sums.weight;
    const Var dice_loss = soft_dice_loss(tape, logits, labels);
    out.soft_dice_loss += *dice_loss.value.data<double>() * static_cast<double>(batch->N);

    counts.assign(static_cast<std::size_t>(batch->N * classes), {});
    const Tensor prediction = Tensor::empty({batch->N, batch->H, batch->W, 1}, Dtype::u8);
    kernels::cpu::confusion(x, truth, kernels::CrossEntropySpec().ignore_index, counts.data(), prediction.view());
    out.metrics.add(counts);
    for (std::int64_t n = 0; n < batch->N; ++n) {
      out.per_image.push_back(scores({counts.data() + n * classes, static_cast<std::size_t>(classes)}));
    }
    if (visit) visit(*batch, prediction.reshape({batch->N, batch->H, batch->W}));
  }
  if (total.weight > 0) out.cross_entropy = total.loss / total.weight;
  if (out.metrics.images() > 0) out.soft_dice_loss /= static_cast<double>(out.metrics.images());
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

}  // namespace unet

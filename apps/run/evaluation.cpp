#include "apps/run/evaluation.h"

#include <chrono>

#include "engine/core/dispatch.h"
#include "engine/core/error.h"
#include "engine/ops/ops.h"
#include "kernels/confusion.h"

namespace unet {

BatchTensors to_tensors(const Batch& batch, Device device) {
  return {Tensor::copy_of({batch.N, batch.H, batch.W, 3}, Dtype::u8, batch.images.data(), device),
          Tensor::copy_of({batch.N, batch.H, batch.W}, Dtype::u8, batch.labels.data(), device)};
}

Evaluation evaluate(models::Segmenter& model, Background background, Loader& loader,
                    const std::function<void(const Predicted&)>& visit, BatchRange range,
                    const LossOfBatch& asked_loss) {
  using kernels::ClassCounts;
  using kernels::CrossEntropySums;
  const auto begin = std::chrono::steady_clock::now();
  const Device device = model.device(), host;
  const std::int64_t classes = model.spec().classes;
  Evaluation out(static_cast<int>(classes), background);
  kernels::SoftDiceSpec dice_spec;
  dice_spec.background = background == Background::none;
  CrossEntropySums total;
  double dice_loss_sum = 0, asked_loss_sum = 0;
  loader.start(0, range.begin);
  for (std::int64_t number = range.begin; number < range.end; ++number) {
    std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const auto [images, labels] = to_tensors(*batch, device);
    Tape tape(Tape::Mode::inference);
    const Var logits = models::logits(model, tape, images);
    const kernels::ConstView x = logits.value.const_view();
    const kernels::ConstView truth = labels.reshape({batch->N, batch->H, batch->W, 1}).const_view();

    const Tensor sums_memory = Tensor::empty({sizeof(CrossEntropySums)}, Dtype::u8, device);
    const Scratch scratch(dispatch<cpu::cross_entropy_scratch, cuda::cross_entropy_scratch>(device, x), device);
    dispatch<cpu::cross_entropy_forward, cuda::cross_entropy_forward>(
        device, kernels::CrossEntropySpec(), x, truth, kernels::ConstView(), sums_memory.data<CrossEntropySums>(),
        scratch.data());
    const Var dice_loss = soft_dice_loss(tape, logits, labels, dice_spec);
    const Var asked = asked_loss ? asked_loss(tape, logits, labels) : Var();
    const Tensor counts_memory =
        Tensor::empty({batch->N * classes * static_cast<std::int64_t>(sizeof(ClassCounts))}, Dtype::u8, device);
    const Tensor prediction = Tensor::empty({batch->N, batch->H, batch->W, 1}, Dtype::u8, device);
    dispatch<cpu::confusion, cuda::confusion>(device, x, truth, kernels::CrossEntropySpec().ignore_index,
                                              counts_memory.data<ClassCounts>(), prediction.view());

    const Tensor host_sums = sums_memory.to(host), host_counts = counts_memory.to(host);
    const CrossEntropySums& sums = *host_sums.data<CrossEntropySums>();
    if (sums.invalid > 0) {
      throw Error("{} pixels of the masks hold values outside the checkpoint's {} classes", sums.invalid, classes);
    }
    total.loss += sums.loss;
    total.weight += sums.weight;
    dice_loss_sum += dice_loss.value.values<double>()[0] * static_cast<double>(batch->N);
    if (asked_loss) asked_loss_sum += asked.value.values<double>()[0] * static_cast<double>(batch->N);
    const std::span counts(host_counts.data<ClassCounts>(), static_cast<std::size_t>(batch->N * classes));
    out.metrics.add(counts);
    out.counts.insert(out.counts.end(), counts.begin(), counts.end());
    if (visit) visit({*batch, images, logits.value, prediction.reshape({batch->N, batch->H, batch->W})});
    loader.give_back(*std::move(batch));
  }
  if (total.weight > 0) out.cross_entropy = total.loss / total.weight;
  // An image whose pixels are all ignored adds nothing to the sum.
  const std::int64_t counted = out.metrics.images() - out.metrics.ignored();
  if (counted > 0) out.soft_dice_loss = dice_loss_sum / static_cast<double>(counted);
  if (asked_loss) out.asked_loss = asked_loss_sum / static_cast<double>(out.metrics.images());
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

}  // namespace unet

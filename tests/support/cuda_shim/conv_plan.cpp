// cuDNN's place is taken by the CPU's convolutions, on device memory that is host memory here. bf16 is widened,
// computed in f32 and rounded once, as cuDNN does it.
#include "kernels/conv_plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "kernels/elementwise.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::shim {

ConvolutionNotes& convolution_notes() {
  static ConvolutionNotes notes;
  return notes;
}

}  // namespace unet::shim

namespace unet::kernels::cuda {
namespace {

/// An operand in f32: itself, or a copy.
class Widened {
 public:
  explicit Widened(const View& view) : view_(view) {
    if (!view || view.dtype == Dtype::f32) return;
    memory_.resize(static_cast<std::size_t>(view.size()));
    view_.dtype = Dtype::f32;
    view_.pitch = view.c();
    view_.data = memory_.data();
  }
  const View& view() const { return view_; }

 private:
  std::vector<float> memory_;
  View view_;
};

View writable(const ConstView& view) {
  View out;
  static_cast<Extent&>(out) = view;
  out.data = const_cast<void*>(view.data);
  return out;
}

ConstView widen(const ConstView& view, std::vector<std::unique_ptr<Widened>>& kept) {
  const Widened& made = *kept.emplace_back(std::make_unique<Widened>(writable(view)));
  if (made.view().data != view.data) cpu::copy(view, made.view());
  return made.view();
}

std::uint64_t bytes_of(const Extent& view) {
  return static_cast<std::uint64_t>(view.size()) * size_of(view.dtype);  // 0 for one that is not there
}

ConvPlan on_the_stream(ConvPlan plan, ConvPass pass) {
  ConvPlan out;
  out.id = "shim:" + plan.id;
  out.workspace = plan.workspace;
  out.run = [run = plan.run, pass, id = out.id](const ConvOperands& io, void* workspace) {
    runtime().synchronize();  // what is on the stream comes first
    ++shim::convolution_notes().runs[id];
    std::vector<std::unique_ptr<Widened>> kept;
    ConvOperands wide;
    wide.x = widen(io.x, kept);
    wide.weights = widen(io.weights, kept);
    wide.bias = widen(io.bias, kept);
    wide.residual = widen(io.residual, kept);
    wide.dy = widen(io.dy, kept);
    const Widened y(io.y), dx(io.dx), dweights(io.dweights);
    wide.y = y.view();
    wide.dx = dx.view();
    wide.dweights = dweights.view();
    run(wide, workspace);
    if (io.y.data != wide.y.data) cpu::copy(wide.y, io.y);
    if (io.dx.data != wide.dx.data) cpu::copy(wide.dx, io.dx);
    if (io.dweights.data != wide.dweights.data) cpu::copy(wide.dweights, io.dweights);
    shim::shim_runtime().note(
        {std::string("convolution ") + name_of(pass),
         bytes_of(io.x) + bytes_of(io.weights) + bytes_of(io.bias) + bytes_of(io.dy) + bytes_of(io.residual),
         bytes_of(io.y) + bytes_of(io.dx) + bytes_of(io.dweights)});
  };
  return out;
}

/// A library may plan what it then cannot run.
ConvPlan broken() {
  ConvPlan out;
  out.id = "shim:broken";
  out.run = [](const ConvOperands&, void*) {
    ++shim::convolution_notes().runs["shim:broken"];
    throw std::runtime_error("cuDNN 9.9, running engine 1: CUDNN_STATUS_EXECUTION_FAILED");
  };
  return out;
}

/// The CPU multiplies f32 alone here.
ConvCase computed(ConvCase c) {
  c.dtype = Dtype::f32;
  return c;
}

}  // namespace

std::string library_versions() { return "convolutions by the CPU"; }

ConvPlan plan_conv(const ConvCase& c) {
  return on_the_stream(cpu::plan_conv(computed(c), ConvProvider::automatic), c.pass);
}

std::vector<ConvPlan> plan_conv_candidates(const ConvCase& c) {
  std::vector<ConvPlan> out;
  if (shim::convolution_notes().one_is_broken) out.push_back(broken());
  for (ConvPlan& plan : cpu::plan_conv_candidates(computed(c))) out.push_back(on_the_stream(std::move(plan), c.pass));
  return out;
}

ConvPlan plan_conv_by_id(const ConvCase& c, const std::string& id) {
  for (ConvPlan& plan : plan_conv_candidates(c)) {
    if (plan.id == id) return std::move(plan);
  }
  throw std::invalid_argument("plan id \"" + id + "\" is none of the stand-in's");
}

}  // namespace unet::kernels::cuda

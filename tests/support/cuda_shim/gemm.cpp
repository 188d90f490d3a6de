// cuBLASLt's place is taken by a plain loop, on device memory that is host memory here.
#include "kernels/cuda/gemm.h"

#include <bit>
#include <cstring>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "kernels/elementwise.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::kernels::cuda {
namespace {

View flat(const void* data, Dtype dtype, std::int64_t size) {
  View out;
  out.dtype = dtype;
  out.dims = {1, 1, 1, size};
  out.pitch = size;
  out.data = const_cast<void*>(data);
  return out;
}

/// To f32 and, with tf32, from there to 10 bits behind the point, to nearest.
std::vector<float> operand(const void* data, Dtype dtype, std::int64_t size, bool tf32) {
  std::vector<float> out(static_cast<std::size_t>(size));
  cpu::copy(flat(data, dtype, size), flat(out.data(), Dtype::f32, size));
  if (tf32) {
    for (float& value : out) value = std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000) & 0xffffe000);
  }
  return out;
}

}  // namespace

void gemm(const GemmShape& s, const void* a, const void* b, Dtype in, void* c, Dtype out, void* workspace) {
  runtime().synchronize();             // what is on the stream comes first
  std::memset(workspace, 0xff, 4096);  // it may be written, so it must be there
  const std::vector<float> wide_a = operand(a, in, s.m * s.k, s.tf32), wide_b = operand(b, in, s.k * s.n, s.tf32);
  std::vector<float> wide_c(static_cast<std::size_t>(s.m * s.n));
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < s.k; ++k) {
        const auto at_a = static_cast<std::size_t>(s.transpose_a ? k * s.m + i : i * s.k + k);
        const auto at_b = static_cast<std::size_t>(s.transpose_b ? j * s.k + k : k * s.n + j);
        sum += static_cast<double>(wide_a[at_a]) * static_cast<double>(wide_b[at_b]);
      }
      wide_c[static_cast<std::size_t>(i * s.n + j)] = static_cast<float>(sum);
    }
  }
  cpu::copy(flat(wide_c.data(), Dtype::f32, s.m * s.n), flat(c, out, s.m * s.n));
  shim::shim_runtime().note({"gemm", static_cast<std::uint64_t>((s.m + s.n) * s.k) * size_of(in),
                             static_cast<std::uint64_t>(s.m * s.n) * size_of(out)});
}

}  // namespace unet::kernels::cuda

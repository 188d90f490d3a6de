// Every instruction set that this machine runs computes the same products. The tables are called directly; and the
// tests of whole convolutions are run again in processes that are held to a lower set.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/conv_pack.h"
#include "kernels/cpu/isa/gemm.h"
#include "tests/kernels/cpu/conv_reference.h"

namespace unet::kernels::isa_variants_test {
namespace {

using cpu::Isa;
using test::Values;

template <class T>
const cpu::GemmLoops<T>& gemm_of(Isa isa);
template <>
const cpu::GemmLoops<float>& gemm_of(Isa isa) {
  return isa >= Isa::avx512 ? cpu::avx512::gemm_f32 : isa == Isa::avx2 ? cpu::avx2::gemm_f32 : cpu::baseline::gemm_f32;
}
template <>
const cpu::GemmLoops<double>& gemm_of(Isa isa) {
  return isa >= Isa::avx512 ? cpu::avx512::gemm_f64 : isa == Isa::avx2 ? cpu::avx2::gemm_f64 : cpu::baseline::gemm_f64;
}

/// C = relu(C + A B + bias) on one block with a ragged edge in both directions.
template <class T>
void check_product(Isa isa, std::int64_t rows, std::int64_t cols, bool k_major, double bound) {
  const cpu::GemmLoops<T>& loops = gemm_of<T>(isa);
  const std::int64_t depth = 37, padded_rows = rows + loops.tile_rows, c_stride = cols + 3;
  const std::int64_t panels = (cols + loops.tile_cols - 1) / loops.tile_cols, padded_cols = panels * loops.tile_cols;
  const std::int64_t a_stride = k_major ? padded_rows : depth + 5;
  const Values a = test::random_values(rows * depth, 1), b = test::random_values(depth * cols, 2);
  const Values bias = test::random_values(cols, 3), c = test::random_values(rows * c_stride, 4);
  std::vector<T> a_packed(static_cast<std::size_t>(a_stride * (k_major ? depth : padded_rows)));
  std::vector<T> b_packed(static_cast<std::size_t>(depth * padded_cols)), bias_t(bias.begin(), bias.end());
  std::vector<T> result(c.begin(), c.end());
  std::vector<std::int64_t> c_row;
  for (std::int64_t i = 0; i < rows; ++i) {
    c_row.push_back(i * c_stride);
    for (std::int64_t k = 0; k < depth; ++k) {
      a_packed[static_cast<std::size_t>(k_major ? k * a_stride + i : i * a_stride + k)] =
          static_cast<T>(a[static_cast<std::size_t>(i * depth + k)]);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int64_t at = (j / loops.tile_cols * depth + k) * loops.tile_cols + j % loops.tile_cols;
      b_packed[static_cast<std::size_t>(at)] = static_cast<T>(b[static_cast<std::size_t>(k * cols + j)]);
    }
  }
  loops.block({a_packed.data(), a_stride, k_major, b_packed.data(), depth * loops.tile_cols, loops.tile_cols, rows,
               cols, depth, result.data(), c_row.data(), true, bias_t.data(), true});
  Values expected = c;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      double& value = expected[static_cast<std::size_t>(i * c_stride + j)];
      value += bias[static_cast<std::size_t>(j)];
      for (std::int64_t k = 0; k < depth; ++k) {
        value += a[static_cast<std::size_t>(i * depth + k)] * b[static_cast<std::size_t>(k * cols + j)];
      }
      value = value < 0 ? 0 : value;
    }
  }
  EXPECT_LE(test::nmse(Values(result.begin(), result.end()), expected), bound)
      << name_of(isa) << ", " << rows << " x " << cols << (k_major ? ", A by columns" : ", A by rows");
}

class IsaVariants : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Set, IsaVariants, testing::Values(Isa::baseline, Isa::avx2, Isa::avx512),
                         [](const auto& set) { return std::string(name_of(set.param)); });

TEST_P(IsaVariants, Products) {
  if (GetParam() > cpu::isa()) GTEST_SKIP() << "this machine does not run " << name_of(GetParam());
  for (const std::int64_t rows : {1, 3, 5, 9, 12, 25}) {
    for (const std::int64_t cols : {1, 8, 15, 33, 64, 77}) {
      for (const bool k_major : {false, true}) {
        check_product<float>(GetParam(), rows, cols, k_major, 1e-12);
        check_product<double>(GetParam(), rows, cols, k_major, 1e-28);
      }
    }
  }
}

TEST(IsaVariantsBelow, WholeConvolutions) {
  if (cpu::isa() == Isa::baseline) GTEST_SKIP() << "no set lies below the one in use";
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa >= cpu::isa()) continue;
    const std::string command =
        std::string("UNET_ISA=") + name_of(isa) + " /proc/" + std::to_string(getpid()) +
        "/exe --gtest_filter='*OwnEquals*:*EveryBf16*:ConvTranspose*:ConvNan*' > /dev/null 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
}

}  // namespace
}  // namespace unet::kernels::isa_variants_test

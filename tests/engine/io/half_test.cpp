#include "engine/io/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace unet::tests::half_test {
namespace {

TEST(Half, EveryF16IsTheNumberThatItsBitsSay) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = widen_f16(static_cast<std::uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    EXPECT_EQ(std::signbit(value), bits >= 0x8000) << bits;
    if (exponent == 31) {
      EXPECT_TRUE(mantissa == 0 ? std::isinf(value) : std::isnan(value)) << bits;
    } else {
      const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      ASSERT_EQ(std::abs(value), size) << bits;
    }
  }
}

TEST(Half, BytesBecomeFloats) {
  const std::uint16_t f16[]{0x3C00, 0xC000, 0x0001}, bf16[]{0x3F80, 0xC000, 0x7F7F};
  const auto widened = [](SafeDtype dtype, const std::uint16_t(&stored)[3]) {
    std::vector<std::byte> bytes(6);
    std::memcpy(bytes.data(), stored, 6);
    widen_halves(dtype, bytes);
    EXPECT_EQ(dtype, SafeDtype::kF32);
    std::vector<float> out(3);
    EXPECT_EQ(bytes.size(), 12u);
    std::memcpy(out.data(), bytes.data(), 12);
    return out;
  };
  EXPECT_EQ(widened(SafeDtype::kF16, f16), (std::vector<float>{1, -2, 0x1p-24f}));
  EXPECT_EQ(widened(SafeDtype::kBF16, bf16), (std::vector<float>{1, -2, 0x1.FEp127f}));
  SafeDtype dtype = SafeDtype::kF64;
  std::vector<std::byte> bytes(8);
  widen_halves(dtype, bytes);
  EXPECT_EQ(dtype, SafeDtype::kF64);
  EXPECT_EQ(bytes.size(), 8u);
}

}  // namespace
}  // namespace unet::tests::half_test

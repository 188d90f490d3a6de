// The instruction set is chosen once per process, so the others are tested by running this program again under each.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "kernels/cpu/isa.h"

namespace unet::kernels::testing {
namespace {

void expect_to_pass_under(cpu::Isa isa, const char* tests) {
  char program[4096];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  ASSERT_GT(length, 0);
  std::ostringstream command;
  command << "UNET_ISA=" << name_of(isa) << " '" << std::string(program, static_cast<std::size_t>(length))
          << "' --gtest_filter='" << tests << "' --gtest_brief=1";
  EXPECT_EQ(std::system(command.str().c_str()), 0);
}

void expect_all_pass_under(cpu::Isa isa) {
  if (isa >= cpu::isa()) GTEST_SKIP() << "this process runs " << name_of(cpu::isa()) << " already";
  expect_to_pass_under(isa,
                       "NormAct.*:Streaming.*:Movements.*:Parallel.*:PixelLinear.*:Upsample*:MaxPool.*:HeadConv.*");
}

TEST(LowerIsa, AllTestsPassUnderBaseline) { expect_all_pass_under(cpu::Isa::baseline); }
TEST(LowerIsa, AllTestsPassUnderAvx2) { expect_all_pass_under(cpu::Isa::avx2); }

#if defined(__x86_64__)
TEST(PairsOfBf16, AreMultipliedOnIntelIfAskedForAlone) {
  __builtin_cpu_init();
  if (__builtin_cpu_is("intel") == 0 || __builtin_cpu_supports("avx512bf16") == 0) GTEST_SKIP() << "another CPU";
  if (std::getenv("UNET_ISA") == nullptr) {
    EXPECT_EQ(cpu::isa(), cpu::Isa::avx512);
    expect_to_pass_under(cpu::Isa::avx512_bf16, "PairsOfBf16.*:*/Conv.*Bf16*:*/Conv.OwnGives*:*/Conv.Slices*");
  } else if (std::string(std::getenv("UNET_ISA")) == "avx512_bf16") {
    EXPECT_EQ(cpu::isa(), cpu::Isa::avx512_bf16);
  }
}
#endif

}  // namespace
}  // namespace unet::kernels::testing

// The instruction set is chosen once per process, so the lower ones are tested by running this program again under
// each.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "kernels/cpu/isa.h"

namespace unet::kernels::testing {
namespace {

void expect_all_pass_under(cpu::Isa isa) {
  if (isa >= cpu::isa()) GTEST_SKIP() << "this process runs " << name_of(cpu::isa()) << " already";
  char program[4096];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  ASSERT_GT(length, 0);
  std::ostringstream command;
  command
      << "UNET_ISA=" << name_of(isa) << " '" << std::string(program, static_cast<std::size_t>(length))
      << "' --gtest_filter='NormAct.*:Streaming.*:Movements.*:Parallel.*:PixelLinear.*:Upsample*:MaxPool.*:HeadConv.*'"
      << " --gtest_brief=1";
  EXPECT_EQ(std::system(command.str().c_str()), 0);
}

TEST(LowerIsa, AllTestsPassUnderBaseline) { expect_all_pass_under(cpu::Isa::baseline); }
TEST(LowerIsa, AllTestsPassUnderAvx2) { expect_all_pass_under(cpu::Isa::avx2); }

}  // namespace
}  // namespace unet::kernels::testing

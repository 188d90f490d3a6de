// The instruction set is chosen once per process, so the others are tested by running this program again under each.
#include <gtest/gtest.h>
#include <unistd.h>
#if defined(__x86_64__) && defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#endif

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"

namespace unet::kernels::test::lower_isa_test {
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

#if defined(__x86_64__) && defined(__linux__)
constexpr long kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl
constexpr const char* kBf16Tests =
    "PairsOfBf16.*:Tiles.*:ConvPlanIds.*:WinogradRule.*:*/Conv.*Bf16*:*/Conv.OwnGives*:*/Conv.Slices*";

bool is_intel_with_pairs() {
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") != 0 && __builtin_cpu_supports("avx512bf16") != 0;
}

/// By the system's own list, which leaves out what it does not support.
bool has_tiles() {
  std::ifstream file("/proc/cpuinfo");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.find(" amx_bf16") != std::string::npos && text.find(" amx_tile") != std::string::npos;
}
bool gets_tiles() { return has_tiles() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0; }

TEST(PairsOfBf16, AreMultipliedOnIntelIfAskedForAlone) {
  if (!is_intel_with_pairs()) GTEST_SKIP() << "another CPU";
  if (std::getenv("UNET_ISA") == nullptr) {
    EXPECT_NE(cpu::isa(), cpu::Isa::avx512_bf16);
    if (std::getenv("UNET_TEST_NO_TILES") == nullptr) expect_to_pass_under(cpu::Isa::avx512_bf16, kBf16Tests);
  } else if (std::string(std::getenv("UNET_ISA")) == "avx512_bf16") {
    EXPECT_EQ(cpu::isa(), cpu::Isa::avx512_bf16);
  }
}

TEST(Tiles, AreUsedByThemselvesWhereCpuAndSystemAllow) {
  if (std::getenv("UNET_ISA") != nullptr) GTEST_SKIP() << "a set is asked for";
  EXPECT_EQ(cpu::isa() == cpu::Isa::avx512_amx, gets_tiles());
  EXPECT_EQ(cpu::conv_machine().starts_with("avx512_amx"), gets_tiles());
}

/// What a system does that forbids arch_prctl's request.
void refuse_tiles() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRequestPermission, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(77);
  }
}

TEST(Tiles, RefusedByTheSystemLeaveALowerSet) {
  if (std::getenv("UNET_TEST_NO_TILES") != nullptr) {
    EXPECT_LT(cpu::isa(), cpu::Isa::avx512_amx);
    return;
  }
  if (!gets_tiles()) GTEST_SKIP() << "no tiles to refuse";
  for (const char* set : {"", "avx512_amx"}) {
    const pid_t child = fork();
    if (child == 0) {
      refuse_tiles();
      setenv("UNET_ISA", set, 1);
      if (*set == '\0') unsetenv("UNET_ISA");
      setenv("UNET_TEST_NO_TILES", "1", 1);
      execl("/proc/self/exe", "test_kernels", "--gtest_brief=1",
            "--gtest_filter=Tiles.*:ConvPlanIds.*:*/Conv.*Bf16*/forward", nullptr);
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "the system has no seccomp filters";
    EXPECT_EQ(status, 0) << "UNET_ISA=" << set;
  }
}
#endif

}  // namespace
}  // namespace unet::kernels::test::lower_isa_test

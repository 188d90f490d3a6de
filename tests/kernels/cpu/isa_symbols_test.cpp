// Code compiled for a newer CPU must not be able to replace code of the rest of the program: if an object of the
// avx512 library defined, say, a weak std::vector function, the linker might keep that copy for everybody. So
// everything that such an object defines lies in its own namespace or is local.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/places.h"

namespace unet::tests::isa_symbols_test {
namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> buffer{};
  while (pipe && fgets(buffer.data(), buffer.size(), pipe.get())) text += buffer.data();
  return text;
}

std::vector<fs::path> objects_of(const std::string& isa) {
  std::vector<fs::path> objects;
  const fs::path folder = unet::places::build("CMakeFiles/unet_kernels_" + isa + ".dir");
  if (!fs::exists(folder)) return objects;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".o") objects.push_back(entry.path());
  }
  return objects;
}

/// Lines of `nm` for defined symbols that others can see and that lie outside the namespace.
std::vector<std::string> strangers(const std::string& listing, const std::string& isa) {
  std::vector<std::string> found;
  std::istringstream lines(listing);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string address, kind, name;
    fields >> address >> kind >> std::ws;
    std::getline(fields, name);
    if (kind.size() != 1 || std::string("TWVBDRGSuiC").find(kind) == std::string::npos) continue;
    // The name may follow a return type, "guard variable for " and the like; the sanitizers add symbols of their own.
    if (name.find("unet::kernels::cpu::" + isa + "::") != std::string::npos) continue;
    if (name.find("asan") != std::string::npos || name.find("ubsan") != std::string::npos) continue;
    if (name.rfind("DW.ref.", 0) == 0) continue;  // a pointer to the exception personality, the same for every CPU
    found.push_back(line);
  }
  return found;
}

class IsaSymbols : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Set, IsaSymbols, testing::Values("baseline", "avx2", "avx512"),
                         [](const auto& set) { return set.param; });

TEST_P(IsaSymbols, LieInTheirNamespace) {
  if (output_of("nm --version 2>/dev/null").empty()) GTEST_SKIP() << "nm is not installed";
  const std::vector<fs::path> objects = objects_of(GetParam());
  ASSERT_FALSE(objects.empty()) << "no object files under " << unet::places::build();
  std::size_t own = 0;
  for (const fs::path& object : objects) {
    const std::string listing = output_of("nm -C --defined-only '" + object.string() + "'");
    if (listing.find("cpu::" + GetParam() + "::") != std::string::npos) ++own;
    for (const std::string& line : strangers(listing, GetParam())) ADD_FAILURE() << object.filename() << ": " << line;
  }
  EXPECT_GT(own, 0u) << "the objects define nothing in unet::kernels::cpu::" << GetParam();
}

TEST(IsaSymbolsScanner, SeesAStranger) {
  EXPECT_EQ(strangers("0000000000000000 T unet::kernels::cpu::avx2::block\n", "avx2").size(), 0u);
  EXPECT_EQ(strangers("0000000000000000 W float const& std::max<float>(float const&, float const&)\n", "avx2").size(),
            1u);
  EXPECT_EQ(strangers("0000000000000000 T unet::kernels::cpu::avx2::block\n", "avx512").size(), 1u);
  EXPECT_EQ(strangers("0000000000000000 t local\n                 U memcpy\n", "avx2").size(), 0u);
}

}  // namespace
}  // namespace unet::tests::isa_symbols_test

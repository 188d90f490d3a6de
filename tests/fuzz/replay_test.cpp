// The fuzzers' functions without a fuzzer: on the seeds, on the seeds cut short and changed at random, and on
// the given corpora.
#include <sys/resource.h>

#include <ctime>
#include <random>

#include "tests/fuzz/targets.h"
#include "tests/support/data_support.h"
#include "tests/support/long_run.h"
#include "tests/support/places.h"

namespace unet::fuzz::replay_test {
namespace {

constexpr double most_seconds = test::sanitized ? 10 : 2;  // of processor time, for one input
constexpr std::int64_t most_kib = 256 * 1024;              // above what the process held before

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::int64_t peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

std::string hex(Bytes bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 4096)))
    out += fmt::format("{:02x}", byte);
  return out;
}

class FuzzReplay : public testing::TestWithParam<Target> {
 protected:
  void run(Bytes bytes) {
    const double begin = cpu_seconds();
    try {
      GetParam().fuzz_one(bytes);
    } catch (const std::exception& error) {
      FAIL() << error.what() << "\n" << bytes.size() << " bytes: " << hex(bytes);
    }
    slowest_ = std::max(slowest_, cpu_seconds() - begin);
    ++count_;
  }
  void TearDown() override {
    EXPECT_LE(slowest_, most_seconds);
    if (!test::sanitized) {
      EXPECT_LE(peak_kib() - kib_before_, most_kib);
    }
    RecordProperty("inputs", count_);
  }

 private:
  const std::int64_t kib_before_ = peak_kib();
  double slowest_ = 0;
  int count_ = 0;
};

TEST_P(FuzzReplay, Seeds) {
  for (const auto& seed : GetParam().seeds()) run(seed);
}

TEST_P(FuzzReplay, SeedsCutShort) {
  for (const auto& seed : GetParam().seeds()) {
    const std::size_t step = 1 + seed.size() / 2000;
    for (std::size_t size = 0; size < seed.size(); size += step) run(Bytes(seed).first(size));
  }
}

TEST_P(FuzzReplay, SeedsChangedAtRandom) {
  const int rounds = tests::long_run() ? 5000 : 250;
  std::mt19937 random(20240229);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  for (const auto& seed : GetParam().seeds()) {
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::uint8_t> changed = seed;
      for (std::size_t changes = 1 + below(3); changes > 0 && !changed.empty(); --changes) {
        const std::size_t at = below(changed.size());
        switch (below(4)) {
          case 0:
            changed[at] ^= static_cast<std::uint8_t>(1u << below(8));
            break;
          case 1:
            changed[at] = static_cast<std::uint8_t>(random());
            break;
          case 2:
            changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(at));
            break;
          default:
            changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(at), changed[below(changed.size())]);
        }
      }
      run(changed);
    }
  }
}

TEST_P(FuzzReplay, GivenCorpora) {
  if (GetParam().corpora.empty()) GTEST_SKIP() << "none of this kind are given";
  int files = 0;
  for (const std::string& corpus : GetParam().corpora) {
    const test::fs::path folder = places::given(corpus);
    if (!test::fs::exists(folder)) GTEST_SKIP() << folder << " is not there";
    for (const auto& entry : test::fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      SCOPED_TRACE(entry.path());
      run(read_file(entry.path()));
      ++files;
    }
  }
  EXPECT_GE(files, 2);
}

INSTANTIATE_TEST_SUITE_P(, FuzzReplay, testing::ValuesIn(targets()), [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace unet::fuzz::replay_test

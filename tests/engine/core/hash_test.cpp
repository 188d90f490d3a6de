// The checksum of tensors' bytes: its values are part of the format, and no small damage passes.
#include "engine/core/hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace unet::tests::hash_test {
namespace {

std::uint64_t hash_of(const std::string& text) { return xxh64(text.data(), text.size()); }

TEST(Xxh64, IsTheOneOfOtherPrograms) {  // the first and the last as their documentation has them
  EXPECT_EQ(hash_of(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash_of("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash_of("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

TEST(Xxh64, NoBitNoPairOfBitsAndNoLengthIsLost) {
  const std::string zeros(80, '\0');
  std::set<std::uint64_t> seen{hash_of(zeros)};
  std::size_t count = 1;
  for (std::size_t a = 0; a < 8 * zeros.size(); ++a) {
    std::string one = zeros;
    one[a / 8] = static_cast<char>(one[a / 8] ^ 1 << a % 8);
    seen.insert(hash_of(one)), ++count;
    for (std::size_t b = a + 1; b < 8 * zeros.size(); ++b) {  // two changed signs of floats among them
      std::string two = one;
      two[b / 8] = static_cast<char>(two[b / 8] ^ 1 << b % 8);
      seen.insert(hash_of(two)), ++count;
    }
  }
  for (std::size_t size = 0; size < zeros.size(); ++size) seen.insert(hash_of(zeros.substr(size + 1))), ++count;
  EXPECT_EQ(seen.size(), count);
}

}  // namespace
}  // namespace unet::tests::hash_test

#include "engine/core/hash.h"

#include <bit>
#include <cstring>
#include <initializer_list>

namespace unet {
namespace {

constexpr std::uint64_t kPrime1 = 0x9e3779b185ebca87u, kPrime2 = 0xc2b2ae3d27d4eb4fu, kPrime3 = 0x165667b19e3779f9u,
                        kPrime4 = 0x85ebca77c2b2ae63u, kPrime5 = 0x27d4eb2f165667c5u;

template <class Word>
std::uint64_t word_at(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

}  // namespace

std::uint64_t xxh64(const void* data, std::size_t bytes) {
  static_assert(std::endian::native == std::endian::little);
  const char* next = static_cast<const char*>(data);
  std::size_t left = bytes;
  std::uint64_t hash = kPrime5;
  if (left >= 32) {
    std::uint64_t a = kPrime1 + kPrime2, b = kPrime2, c = 0, d = 0 - kPrime1;
    for (; left >= 32; left -= 32, next += 32) {
      a = round(a, word_at<std::uint64_t>(next));
      b = round(b, word_at<std::uint64_t>(next + 8));
      c = round(c, word_at<std::uint64_t>(next + 16));
      d = round(d, word_at<std::uint64_t>(next + 24));
    }
    hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
    for (const std::uint64_t lane : {a, b, c, d}) hash = (hash ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  hash += bytes;
  for (; left >= 8; left -= 8, next += 8) {
    hash = std::rotl(hash ^ round(0, word_at<std::uint64_t>(next)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    hash = std::rotl(hash ^ word_at<std::uint32_t>(next) * kPrime1, 23) * kPrime2 + kPrime3;
    left -= 4, next += 4;
  }
  for (; left > 0; --left, ++next) hash = std::rotl(hash ^ word_at<std::uint8_t>(next) * kPrime5, 11) * kPrime1;
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}

}  // namespace unet

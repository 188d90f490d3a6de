#include "engine/data/data_scan.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

/// Calls work(i) for all i below count on a few threads. The error of the lowest i is thrown, whatever the timing:
/// indices are taken in order, so every one below a failed one has been taken and is finished.
template <class Work>
void for_each_index(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::size_t failed_at = count;
  std::exception_ptr failure;
  const auto loop = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        next = count;
        if (i >= failed_at) return;
        failed_at = i;
        failure = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    try {
      for (int t = 1; t < threads; ++t) helpers.emplace_back(loop);
    } catch (const std::system_error& error) {
      next = count;  // those that have started end
      throw Error(
          "cannot start {} threads that look at the data: {}; ask for fewer --threads, or raise the limit "
          "(ulimit -u)",
          threads, error.what());
    }
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

std::uint64_t hash_of(const std::vector<std::uint8_t>& bytes, std::uint64_t hash) {
  std::size_t at = 0;
  for (std::uint64_t word; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    hash = mix64(hash ^ word);
  }
  for (; at < bytes.size(); ++at) hash = mix64(hash ^ bytes[at]);
  return hash;
}

/// The places along one axis that resize_nearest takes, each once.
std::vector<int> places_taken(int from, int to) {
  std::vector<int> places(static_cast<std::size_t>(from));
  std::iota(places.begin(), places.end(), 0);
  if (to >= from) return places;
  return nearest_positions(from, to);
}

/// The values of the mask that resize_nearest leaves.
std::bitset<256> values_kept(const Image& mask, const std::bitset<256>& values, int height, int width) {
  if (height >= mask.height && width >= mask.width) return values;
  const std::vector<int> columns = places_taken(mask.width, width);
  std::array<bool, 256> seen{};
  for (const int y : places_taken(mask.height, height)) {
    const std::uint8_t* row = mask.row(y);
    for (const int x : columns) seen[row[x]] = true;
  }
  std::bitset<256> kept;
  for (std::size_t value = 0; value < seen.size(); ++value) kept[value] = seen[value];
  return kept;
}

void note_palette(const Image& mask, Finding& finding) {
  if (mask.palette.empty()) return;
  finding.palette = hash_of(mask.palette, 1);
  for (std::size_t value = 0; value < mask.palette.size() / 3; ++value) {
    if (!finding.values[value]) continue;
    const std::uint8_t* color = mask.palette.data() + 3 * value;
    finding.colors.push_back(std::uint32_t{color[0]} << 16 | std::uint32_t{color[1]} << 8 | color[2]);
  }
}

/// The first place is that of the first sample, whatever the order of the threads.
void add_unknown(Scan& scan, MaskValue value, const UnknownValue& here, std::size_t sample) {
  const auto known = scan.unknown.find(value);
  if (known == scan.unknown.end()) {
    if (scan.unknown.size() <= MaskFacts::kMostUnknown) scan.unknown.emplace(value, UnknownInAll{here, sample});
    return;
  }
  UnknownInAll& all = known->second;
  const std::int64_t pixels = all.value.pixels + here.pixels;
  if (sample < all.first) all = {here, sample};
  all.value.pixels = pixels;
}

void look_into(const Image& photograph, Finding& finding) {
  const auto channels = static_cast<std::size_t>(photograph.channels);
  const bool alpha = channels % 2 == 0;
  std::uint8_t low = 255, high = 0;
  for (std::size_t i = 0; i < photograph.pixels.size(); ++i) {
    const std::uint8_t value = photograph.pixels[i];
    if (alpha && i % channels == channels - 1) {
      finding.transparent |= value == 0;
    } else {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  finding.narrow = finding.photograph.bits == 16 && high - low < 16;
  finding.looked_into = true;
}

/// What may be wrong where the sides of a photograph and its mask are swapped.
const char* orientation_hint(const ImageHead& photograph, const DatasetOptions& options) {
  if (photograph.orientation < 5) return "";
  return options.exif == Exif::apply
             ? ": the photograph is turned by its EXIF orientation; turn the mask too, or let it be (--exif ignore)"
             : ": the photograph's EXIF orientation is ignored; --exif apply turns it";
}

void look_into_some(std::vector<Finding>& findings, int threads) {
  std::vector<Finding*> some;
  std::int64_t pixels = 0;
  for (Finding& finding : findings) {
    const ImageHead& head = finding.photograph;
    if (!finding.corrupt.empty() || (!head.alpha && head.bits != 16)) continue;
    if (some.size() == kMostLookedInto || pixels > kMaxImagePixels) break;
    some.push_back(&finding);
    pixels += std::int64_t{head.size.width} * head.size.height;
  }
  for_each_index(some.size(), threads, [&](std::size_t i) {
    try {
      look_into(load_image(some[i]->sample.image, Exif::ignore), *some[i]);
    } catch (const Error& error) {
      throw Error("{}: {}", some[i]->sample.listed_at, error.what());
    }
  });
}

}  // namespace

void check_sizes(const Sample& sample, ImageSize seen, const Image& mask, const char* hint) {
  if (seen == ImageSize{mask.width, mask.height}) return;
  throw Error("{}: photograph {} is {}x{}, but its mask {} is {}x{}, expected one size{}", sample.listed_at,
              sample.image.string(), seen.width, seen.height, sample.mask.string(), mask.width, mask.height, hint);
}

Scan scan_pairs(const std::vector<Sample>& samples, const DatasetOptions& options) {
  Scan scan;
  std::mutex mutex;  // guards the sums
  for (const Sample& sample : samples) scan.findings.emplace_back().sample = sample;
  for_each_index(samples.size(), options.threads, [&](std::size_t i) {
    Finding& finding = scan.findings[i];
    const Sample& sample = finding.sample;
    Image mask;
    MaskFacts facts;
    try {
      finding.photograph = read_image_head(sample.image);
      mask = read_mask_codes(sample.mask, options, facts);
      if (options.on_corrupt == OnCorrupt::skip) load_image(sample.image);
    } catch (const Error& error) {
      finding.corrupt = fmt::format("{}: {}", sample.listed_at, error.what());
      if (options.on_corrupt == OnCorrupt::stop) throw Error(finding.corrupt);
      return;
    }
    check_sizes(sample, finding.photograph.seen_size(options.exif), mask,
                orientation_hint(finding.photograph, options));
    std::array<std::int64_t, 256> counts{};
    for (const std::uint8_t value : mask.pixels) ++counts[value];
    for (std::size_t value = 0; value < counts.size(); ++value) {
      if (counts[value] == 0) continue;
      finding.values.set(value);
      finding.pixels.push_back(counts[value]);
    }
    finding.kept = finding.values;
    if (options.height > 0) finding.kept = values_kept(mask, finding.values, options.height, options.width);
    finding.contents = hash_of(mask.pixels, static_cast<std::uint64_t>(mask.width));
    note_palette(mask, finding);
    finding.changed = facts.changed;
    finding.photograph_bytes = std::filesystem::file_size(sample.image);
    const std::lock_guard lock(mutex);
    for (std::size_t value = 0; value < counts.size(); ++value) scan.pixels[value] += counts[value];
    for (const auto& [value, here] : facts.unknown) add_unknown(scan, value, here, i);
  });
  look_into_some(scan.findings, options.threads);
  return scan;
}

}  // namespace unet

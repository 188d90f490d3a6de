// The loader: the same batches whatever the workers, prefetching and cache; errors in order; leaving at any moment.
#include "engine/data/loader.h"

#include <algorithm>
#include <set>

#include "tests/engine/data/sample_data.h"

namespace unet::loader_test {
namespace {

using test::message_of;

/// 37 pictures of 20x16, 33 of them in train.
class LoaderTest : public testing::Test {
 protected:
  static LoaderOptions options(int workers, Augment kind = Augment::standard) {
    LoaderOptions out;
    out.batch_size = 4;
    out.height = 24;
    out.width = 32;
    out.augment = kind;
    out.seed = 11;
    out.shuffle = true;
    out.workers = workers;
    return out;
  }
  static std::vector<Batch> rest(Loader& loader) {
    std::vector<Batch> batches;
    while (std::optional<Batch> batch = loader.next()) batches.push_back(std::move(*batch));
    return batches;
  }
  static bool same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Batch& x, const Batch& y) {
      return x.images == y.images && x.labels == y.labels && x.indices == y.indices && x.N == y.N && x.H == y.H &&
             x.W == y.W;
    });
  }

  LoaderTest() { test::make_oxford(folder_.path(), 37, 0, 20, 16), test::fs::remove(folder_ / "annotations/test.txt"); }
  Dataset data() const { return test::open(folder_.path()); }

  test::Folder folder_;
};

TEST_F(LoaderTest, MemoryThatIsGivenBackServesAgain) {
  const Dataset dataset = data();
  Loader fresh(dataset, Split::train, options(0)), alone(dataset, Split::train, options(0));
  alone.start(0);
  Batch first = alone.next().value();
  const std::uint8_t* memory = first.images.data();
  alone.give_back(std::move(first));
  EXPECT_EQ(alone.next().value().images.data(), memory);
  for (const int workers : {0, 2}) {
    Loader loader(dataset, Split::train, options(workers));
    for (const std::int64_t epoch : {0, 1}) {  // the last batch of an epoch is smaller
      fresh.start(epoch);
      loader.start(epoch);
      while (std::optional<Batch> batch = loader.next()) {
        const Batch expected = fresh.next().value();
        EXPECT_TRUE(batch->images == expected.images && batch->labels == expected.labels);
        loader.give_back(*std::move(batch));
      }
    }
  }
}

TEST_F(LoaderTest, BatchesDoNotDependOnWorkersPrefetchOrCache) {
  const Dataset dataset = data();
  Loader alone(dataset, Split::train, options(0));
  for (const int workers : {1, 2, 4}) {
    for (const int prefetch : {1, 3}) {
      for (const std::size_t cache : {std::size_t{0}, std::size_t{5000}, std::size_t{1} << 30}) {
        LoaderOptions varied = options(workers);
        varied.prefetch = prefetch;
        varied.cache_bytes = cache;
        Loader loader(dataset, Split::train, varied);
        for (const std::int64_t epoch : {0, 1, 5}) {
          alone.start(epoch);
          loader.start(epoch);
          EXPECT_TRUE(same(rest(loader), rest(alone))) << workers << " workers, epoch " << epoch;
        }
      }
    }
  }
}

TEST_F(LoaderTest, AnEpochHoldsEverySampleOnce) {
  const Dataset dataset = data();
  Loader loader(dataset, Split::train, options(2));
  EXPECT_EQ(loader.images(), 33);
  EXPECT_EQ(loader.batches(), 9);
  EXPECT_FALSE(loader.next().has_value());
  std::set<std::vector<std::int64_t>> orders;
  for (const std::int64_t epoch : {0, 1, 2}) {
    loader.start(epoch);
    std::vector<std::int64_t> order;
    const std::vector<Batch> batches = rest(loader);
    ASSERT_EQ(batches.size(), 9u);
    EXPECT_EQ(batches.back().N, 1);
    for (const Batch& batch : batches) {
      EXPECT_EQ(batch.H, 24);
      EXPECT_EQ(batch.W, 32);
      EXPECT_EQ(batch.images.size(), static_cast<std::size_t>(batch.N * 24 * 32 * 3));
      EXPECT_EQ(batch.labels.size(), static_cast<std::size_t>(batch.N * 24 * 32));
      order.insert(order.end(), batch.indices.begin(), batch.indices.end());
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < 33; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  }
  EXPECT_EQ(orders.size(), 3u);
}

TEST_F(LoaderTest, WithoutShuffleTheListIsTheOrder) {
  const Dataset dataset = data();
  LoaderOptions plain = options(2, Augment::none);
  plain.shuffle = false;
  Loader loader(dataset, Split::train, plain);
  loader.start(3);
  std::int64_t expected = 0;
  for (const Batch& batch : rest(loader)) {
    for (std::int64_t n = 0; n < batch.N; ++n, ++expected) {
      ASSERT_EQ(batch.indices[static_cast<std::size_t>(n)], expected);
      const int picture = std::stoi(loader.sample(expected).name.substr(4));  // its number is its gray level
      ASSERT_EQ(batch.images[static_cast<std::size_t>(n * 24 * 32 * 3)], picture);
    }
  }
}

TEST_F(LoaderTest, StartsAtAnyBatch) {
  const Dataset dataset = data();
  Loader whole(dataset, Split::train, options(0));
  for (const int workers : {0, 2}) {
    Loader loader(dataset, Split::train, options(workers));
    for (std::int64_t first = 0; first <= loader.batches(); ++first) {
      whole.start(2);
      std::vector<Batch> expected = rest(whole);
      expected.erase(expected.begin(), expected.begin() + first);
      loader.start(2, first);
      EXPECT_TRUE(same(rest(loader), expected)) << "from batch " << first;
      EXPECT_FALSE(loader.next().has_value());
    }
    test::expect_parts(message_of([&] { loader.start(0, 10); }), {"batch 10", "9"});
    EXPECT_THROW(loader.start(0, -1), Error);
  }
}

TEST_F(LoaderTest, MayBeLeftOrRestartedAtAnyMoment) {
  const Dataset dataset = data();
  Loader reference(dataset, Split::train, options(0));
  reference.start(1);
  const std::vector<Batch> expected = rest(reference);
  for (const int workers : {1, 2, 4}) {
    for (int taken = 0; taken < 9; ++taken) {
      Loader loader(dataset, Split::train, options(workers));
      loader.start(0);
      for (int i = 0; i < taken; ++i) ASSERT_TRUE(loader.next().has_value());
      if (taken % 2 == 0) continue;  // left in the middle of an epoch
      loader.start(1);
      EXPECT_TRUE(same(rest(loader), expected));
    }
    Loader unused(dataset, Split::train, options(workers));
  }
}

TEST_F(LoaderTest, ErrorsComeInTheirPlaceAndOrder) {
  // The 21st to 23rd pictures of train (0, 10 and 20 are of val): in one batch, the first to fail is not the first in
  // order.
  test::write_bytes(folder_ / "images/pet_023.jpg", test::slowly_broken(20, 16));
  test::write_bytes(folder_ / "images/pet_024.jpg", test::quickly_broken(20, 16));
  test::write_bytes(folder_ / "images/pet_025.jpg", test::quickly_broken(20, 16));
  const Dataset dataset = data();
  for (const int workers : {0, 1, 2, 4}) {
    LoaderOptions plain = options(workers, Augment::none);
    plain.shuffle = false;
    Loader loader(dataset, Split::train, plain);
    for (int round = 0; round < 3; ++round) {
      loader.start(round);
      std::string message;
      int good = 0;
      try {
        while (loader.next()) ++good;
      } catch (const Error& error) {
        message = error.what();
      }
      EXPECT_EQ(good, 5) << workers << " workers";
      test::expect_parts(message, {"trainval.txt:24: ", "pet_023.jpg", "broken PNG"});
      EXPECT_FALSE(loader.next().has_value());
    }
  }
}

TEST_F(LoaderTest, CachedImagesAreNotReadAgain) {
  const Dataset dataset = data();
  Loader cached(dataset, Split::train, options(2));
  LoaderOptions small = options(2);
  small.cache_bytes = 5000;  // a pair takes 20 * 16 * 4 bytes: three fit
  Loader uncached(dataset, Split::train, small);
  for (Loader* loader : {&cached, &uncached}) {
    loader->start(0);
    rest(*loader);
  }
  test::fs::remove_all(folder_ / "images");
  cached.start(1);
  EXPECT_EQ(rest(cached).size(), 9u);
  uncached.start(1);
  EXPECT_THROW(rest(uncached), Error);
}

TEST_F(LoaderTest, SettlesOnceAllThatMayBeMadeAheadIsThere) {
  const Dataset dataset = data();
  for (const int workers : {0, 1, 3}) {
    LoaderOptions two = options(workers);
    two.prefetch = 2;
    Loader loader(dataset, Split::train, two);
    loader.settle();  // nothing to do before the first epoch
    loader.start(0);
    loader.settle();
    const Loader::CacheUse use = loader.cache_use();
    EXPECT_EQ(use.pairs, workers == 0 ? 0 : 2 * two.batch_size) << workers << " workers";
    EXPECT_EQ(use.bytes > 0, workers > 0);
    rest(loader);
    loader.settle();
    EXPECT_EQ(loader.cache_use().pairs, loader.images());
  }
}

TEST_F(LoaderTest, CountsTheTimeSpentWaiting) {
  const Dataset dataset = data();
  Loader loader(dataset, Split::train, options(0));
  EXPECT_EQ(loader.waited_seconds(), 0);
  loader.start(0);
  rest(loader);
  EXPECT_GT(loader.waited_seconds(), 0);
}

TEST_F(LoaderTest, RefusesSenselessOptionsAndEmptySplits) {
  const Dataset dataset = data();
  const auto refuse = [&](auto change) {
    LoaderOptions bad = options(1);
    change(bad);
    return message_of([&] { Loader(dataset, Split::train, bad); });
  };
  test::expect_parts(refuse([](LoaderOptions& o) { o.batch_size = 0; }), {"batch size 0"});
  test::expect_parts(refuse([](LoaderOptions& o) { o.width = 0; }), {"24x0"});
  test::expect_parts(refuse([](LoaderOptions& o) { o.workers = -1; }), {"-1 workers"});
  test::expect_parts(message_of([&] { Loader(dataset, Split::test, options(1)); }), {"split test is empty"});
}

TEST_F(LoaderTest, CropsAreTheSameForAnyWorkersAndSeveralOfAnImage) {
  const Dataset dataset = data();
  const auto with = [&](int workers, std::size_t cache_bytes) {
    LoaderOptions out = options(workers);
    out.height = 8;
    out.width = 12;
    out.frame = Frame::crop;
    out.crops_per_image = 3;
    out.cache_bytes = cache_bytes;
    return out;
  };
  Loader alone(dataset, Split::train, with(0, 0));
  EXPECT_EQ(alone.images(), 99);
  EXPECT_EQ(alone.batches(), 25);
  alone.start(2);
  const std::vector<Batch> expected = rest(alone);
  ASSERT_EQ(expected.size(), 25u);
  EXPECT_EQ(expected[24].N, 3);
  std::vector<int> seen(33);
  for (const Batch& batch : expected) {
    for (const std::int64_t index : batch.indices) ++seen[static_cast<std::size_t>(index)];
  }
  EXPECT_EQ(seen, std::vector<int>(33, 3)) << "each image three times";
  for (const int workers : {0, 1, 3}) {
    Loader loader(dataset, Split::train, with(workers, 1 << 20));
    for (int round = 0; round < 2; ++round) {  // the second from the cache
      loader.start(2);
      EXPECT_TRUE(same(rest(loader), expected)) << workers;
    }
    EXPECT_EQ(loader.cache_use().pairs, 33);
    loader.start(2, 20);
    EXPECT_TRUE(same(rest(loader), {expected.begin() + 20, expected.end()})) << "in the middle of an epoch";
  }
}

TEST_F(LoaderTest, PicturesAtTheirOwnSizesComeOneByOne) {
  test::write_bytes(folder_ / "images/pet_005.jpg", encode_png(test::flat_rgb(9, 50, 5)));
  test::write_bytes(folder_ / "annotations/trimaps/pet_005.png", encode_png(test::flat_mask(9, 50, 1)));
  const Dataset dataset = data();
  LoaderOptions own = options(2, Augment::none);
  own.batch_size = 1;
  own.shuffle = false;
  own.frame = Frame::own;
  for (const int workers : {0, 2}) {
    own.workers = workers;
    Loader loader(dataset, Split::train, own);
    loader.start(0);
    const std::vector<Batch> batches = rest(loader);
    ASSERT_EQ(batches.size(), 33u);
    for (const Batch& batch : batches) {
      const Sample& sample = loader.sample(batch.indices[0]);
      const LabelledImage pair = dataset.load(sample);
      EXPECT_EQ(std::pair(batch.H, batch.W),
                std::pair(std::int64_t{pair.image.height}, std::int64_t{pair.image.width}));
      EXPECT_EQ(batch.H == 50, sample.name == "pet_005");
      EXPECT_EQ(batch.images, pair.image.pixels);
      EXPECT_EQ(batch.labels, pair.labels.pixels);
    }
  }
}

TEST_F(LoaderTest, SenselessFramesAreRefused) {
  const Dataset dataset = data();
  LoaderOptions wrong = options(0);
  wrong.crops_per_image = 2;
  test::expect_parts(message_of([&] { Loader(dataset, Split::train, wrong); }), {"2 crops", "1 where no crops"});
  wrong = options(0);
  wrong.frame = Frame::own;
  test::expect_parts(message_of([&] { Loader(dataset, Split::train, wrong); }), {"one by one"});
}

}  // namespace
}  // namespace unet::loader_test

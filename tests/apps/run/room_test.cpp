// Room for the pictures under way: as much as it says, a large one alone, and nobody waits for ever.
#include "apps/run/room.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace unet::room_test {
namespace {

TEST(Room, HoldsAsMuchAsItSaysAndALargeOneAlone) {
  Room room(100);
  EXPECT_TRUE(room.take(60));
  EXPECT_TRUE(room.take(40));
  std::atomic<int> begun{0};
  std::jthread reader([&] {
    for (const std::size_t bytes : {1, 500, 7}) {
      room.take(bytes);
      ++begun;
    }
  });
  const auto expect_begun = [&](int count) {
    for (int i = 0; i < 400 && begun < count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for one too many
    EXPECT_EQ(begun, count);
  };
  expect_begun(0);
  room.give_back(60);
  expect_begun(1);
  room.give_back(40);
  expect_begun(1);  // 1 is under way: 500 must wait
  room.give_back(1);
  expect_begun(2);
  room.give_back(500);
  expect_begun(3);
}

TEST(Room, ClosingItEndsTheWait) {
  Room room(10);
  ASSERT_TRUE(room.take(11));
  std::jthread closer([&] { room.close(); });
  EXPECT_FALSE(room.take(1));
  EXPECT_FALSE(room.take(0));
}

}  // namespace
}  // namespace unet::room_test

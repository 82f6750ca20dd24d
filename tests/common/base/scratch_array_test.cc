// SPDX-License-Identifier: Apache-2.0
#include "common/base/scratch_array.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>

namespace attune {
namespace {

constexpr std::size_t kLarge = ScratchArray::kScratchBytes / sizeof(double) + 1;

// Bytes of this process that are backed by files without a name.
bool MapsScratch() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" (deleted)") != std::string::npos && line.find("rw-s") != std::string::npos) return true;
  }
  return false;
}

TEST(ScratchArray, Construct_Zeros) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, kLarge}) {
    const ScratchArray array(size);
    ASSERT_EQ(array.size(), size);
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(array[i], 0);
  }
}

TEST(ScratchArray, Construct_LargeOnesAreOnDisk) {
  ASSERT_FALSE(MapsScratch());
  const ScratchArray array(kLarge);
  EXPECT_TRUE(MapsScratch());
}

TEST(ScratchArray, Construct_NoFolderIsMemory) {
  const char* before = ::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/no/such/folder", 1);
  ScratchArray array(kLarge);
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", kept.c_str(), 1);
  EXPECT_FALSE(MapsScratch());
  array[kLarge - 1] = 5;
  EXPECT_EQ(array[kLarge - 1], 5);
}

// Pages of files that this process has in memory.
std::int64_t FilePages() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  std::int64_t shared = 0;
  file >> size >> resident >> shared;
  return shared;
}

TEST(ScratchArray, Evict_LetsGoOfMemoryAndKeepsValues) {
  ScratchArray array(kLarge);
  for (std::size_t i = 0; i < kLarge; ++i) array[i] = static_cast<double>(i);
  const std::int64_t before = FilePages();
  array.Evict();
  EXPECT_LE(FilePages(), before - static_cast<std::int64_t>(kLarge * sizeof(double)) / ::sysconf(_SC_PAGESIZE) + 64);
  for (std::size_t i = 0; i < kLarge; ++i) ASSERT_EQ(array[i], static_cast<double>(i));
  ScratchArray small(3);
  small[2] = 7;
  small.Evict();
  EXPECT_EQ(small[2], 7);
}

TEST(ScratchArray, Evict_APart_LetsGoOfItAndKeepsTheRest) {
  ScratchArray array(kLarge);
  for (std::size_t i = 0; i < kLarge; ++i) array[i] = static_cast<double>(i);
  const std::int64_t before = FilePages();
  array.Evict(1, kLarge / 2);
  const std::int64_t half = static_cast<std::int64_t>(kLarge / 2 * sizeof(double)) / ::sysconf(_SC_PAGESIZE);
  EXPECT_LE(FilePages(), before - half + 64);
  EXPECT_GE(FilePages(), before - half - 64);
  for (std::size_t i = 0; i < kLarge; ++i) ASSERT_EQ(array[i], static_cast<double>(i));
  array.Evict(kLarge, 0);
  EXPECT_EQ(array[kLarge - 1], static_cast<double>(kLarge - 1));
}

TEST(ScratchArray, Copy_SharesNothing) {
  for (const std::size_t size : {std::size_t{3}, kLarge}) {
    ScratchArray first(size);
    first[1] = 7;
    ScratchArray second(first);
    second[1] = 8;
    EXPECT_EQ(first[1], 7);
    first = second;
    second[1] = 9;
    EXPECT_EQ(first[1], 8);
    const ScratchArray moved = std::move(second);
    EXPECT_EQ(moved[1], 9);
  }
}

}  // namespace
}  // namespace attune

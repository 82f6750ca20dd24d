// SPDX-License-Identifier: Apache-2.0
#include "common/base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempFolder;

TEST(FileLock, KeepsOthersOutWhileItLives) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(FileLock lock, FileLock::Acquire(folder / "lock"));
  std::optional<FileLock> held(std::move(lock));
  std::atomic<bool> released{false};
  std::thread other([&] {
    const absl::StatusOr<FileLock> second = FileLock::Acquire(folder / "lock");
    EXPECT_OK(second);
    EXPECT_TRUE(released.load());
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  released = true;
  held.reset();
  other.join();
}

TEST(FileLock, FolderIsMissing) {
  const TempFolder folder;
  EXPECT_THAT(FileLock::Acquire(folder / "nowhere/lock"), StatusIs(absl::StatusCode::kInternal, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/read_ahead.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace attune {
namespace {

TEST(ReadAhead, Uses_InOrderWhateverTheThreads) {
  for (const int threads : {1, 2, 5}) {
    for (const std::size_t count : {0U, 1U, 3U, 50U}) {
      std::vector<std::size_t> used;
      ASSERT_OK(ReadAhead<std::size_t>(
          count, threads,
          [](std::size_t i, std::size_t* slot) {
            *slot = i * i;
            return absl::OkStatus();
          },
          [&](std::size_t i, const std::size_t& slot) {
            EXPECT_EQ(slot, i * i);
            used.push_back(i);
            return absl::OkStatus();
          }));
      ASSERT_EQ(used.size(), count);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(used[i], i);
    }
  }
}

TEST(ReadAhead, Fails_WithTheFirstErrorInOrder) {
  for (const bool in_load : {true, false}) {
    std::size_t used = 0;
    const auto fail_from_7 = [](std::size_t i) { return i >= 7 ? absl::DataLossError(std::to_string(i)) : absl::OkStatus(); };
    const absl::Status status = ReadAhead<int>(
        30, 3, [&](std::size_t i, int*) { return in_load ? fail_from_7(i) : absl::OkStatus(); },
        [&](std::size_t i, const int&) {
          const absl::Status result = fail_from_7(i);
          used += result.ok() ? 1 : 0;
          return result;
        });
    EXPECT_EQ(status, absl::DataLossError("7"));
    EXPECT_EQ(used, 7U);
  }
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/transport/retry.h"

#include "absl/time/clock.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr RetryPolicy kQuick{
    .first_wait = absl::Milliseconds(1), .longest_wait = absl::Milliseconds(4), .patience = absl::Milliseconds(60)};

TEST(RetryTest, Retry_UntilItSucceeds) {
  int calls = 0;
  EXPECT_OK(Retry(kQuick, "call", [&] { return ++calls < 4 ? absl::UnavailableError("down") : absl::OkStatus(); }));
  EXPECT_EQ(calls, 4);
}

TEST(RetryTest, Retry_FinalErrorsAtOnce) {
  int calls = 0;
  const absl::Status status = Retry(kQuick, "call", [&] {
    ++calls;
    return absl::InvalidArgumentError("wrong form");
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, "wrong form"));
  EXPECT_EQ(calls, 1);
}

TEST(RetryTest, Retry_GivesUpSayingWhatAndWhy) {
  EXPECT_THAT(
      Retry(kQuick, "send the answer", [] { return absl::DeadlineExceededError("no reply"); }),
      StatusIs(absl::StatusCode::kDeadlineExceeded, AllOf(HasSubstr("could not send the answer"), HasSubstr("no reply"))));
}

TEST(RetryTest, Retry_ProgressRestartsPatience) {
  std::uint64_t bytes = 0;
  const absl::Time started = absl::Now();
  const absl::Status status = Retry(
      kQuick, "send",
      [&]() -> absl::Status {
        absl::SleepFor(absl::Milliseconds(15));
        if (++bytes == 10) return absl::OkStatus();
        return absl::UnavailableError("cut");
      },
      &bytes);
  EXPECT_OK(status);
  EXPECT_GT(absl::Now() - started, kQuick.patience);
}

TEST(RetryTest, IsWorthRetrying_Codes) {
  EXPECT_TRUE(IsWorthRetrying(absl::UnavailableError("")));
  EXPECT_TRUE(IsWorthRetrying(absl::DeadlineExceededError("")));
  EXPECT_TRUE(IsWorthRetrying(absl::ResourceExhaustedError("too many streams")));
  EXPECT_FALSE(IsWorthRetrying(absl::ResourceExhaustedError("Received message larger than max (5 vs. 4)")));
  EXPECT_FALSE(IsWorthRetrying(absl::PermissionDeniedError("")));
  EXPECT_FALSE(IsWorthRetrying(absl::InternalError("")));
}

}  // namespace
}  // namespace attune

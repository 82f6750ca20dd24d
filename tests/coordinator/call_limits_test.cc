// SPDX-License-Identifier: Apache-2.0
#include "coordinator/call_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

class CallLimiterTest : public ::testing::Test {
 protected:
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  CallLimiter limiter_{{.calls_per_second = 2,
                        .calls_burst = 3,
                        .enrolments_per_second = 0.1,
                        .enrolments_burst = 2,
                        .calls_at_once = 2,
                        .uploads_at_once = 1,
                        .uploads_at_once_of_all = 2},
                       [this] { return now_; }};
};

TEST_F(CallLimiterTest, Enter_ABurstThenARate) {
  for (int i = 0; i < 3; ++i) EXPECT_OK(limiter_.Enter("north"));
  const absl::StatusOr<CallLimiter::Slot> refused = limiter_.Enter("north");
  EXPECT_THAT(refused, StatusIs(Code::kResourceExhausted, HasSubstr("come back in 1 seconds")));
  EXPECT_TRUE(CallLimiter::IsRefusal(refused.status()));
  EXPECT_OK(limiter_.Enter("south"));  // another's share is its own
  now_ += absl::Milliseconds(500);
  EXPECT_OK(limiter_.Enter("north"));
  EXPECT_FALSE(limiter_.Enter("north").ok());
  now_ += absl::Hours(24);  // a long rest fills no more than the burst
  for (int i = 0; i < 3; ++i) EXPECT_OK(limiter_.Enter("north"));
  EXPECT_FALSE(limiter_.Enter("north").ok());
}

TEST_F(CallLimiterTest, Enter_AClockSetBackFillsNothing) {
  for (int i = 0; i < 3; ++i) EXPECT_OK(limiter_.Enter("north"));
  now_ -= absl::Hours(1);
  EXPECT_FALSE(limiter_.Enter("north").ok());
  now_ += absl::Seconds(1);
  EXPECT_OK(limiter_.Enter("north"));
}

TEST_F(CallLimiterTest, Enter_CallsAtOnce) {
  ASSERT_OK_AND_ASSIGN(const CallLimiter::Slot first, limiter_.Enter("north"));
  {
    ASSERT_OK_AND_ASSIGN(const CallLimiter::Slot second, limiter_.Enter("north"));
    EXPECT_THAT(limiter_.Enter("north"),
                StatusIs(Code::kResourceExhausted, AllOf(HasSubstr("at once"), HasSubstr("come back"))));
    EXPECT_OK(limiter_.Enter("south"));
  }
  now_ += absl::Seconds(10);
  EXPECT_OK(limiter_.Enter("north"));
}

TEST_F(CallLimiterTest, EnterUpload_OfOneAndOfAll) {
  absl::StatusOr<CallLimiter::Slot> north = limiter_.EnterUpload("north");
  ASSERT_OK(north);
  EXPECT_THAT(limiter_.EnterUpload("north"), StatusIs(Code::kResourceExhausted, HasSubstr("of this site")));
  ASSERT_OK_AND_ASSIGN(const CallLimiter::Slot south, limiter_.EnterUpload("south"));
  EXPECT_THAT(limiter_.EnterUpload("west"), StatusIs(Code::kResourceExhausted, HasSubstr("as many uploads as it can")));
  { const CallLimiter::Slot ended = *std::move(north); }
  EXPECT_OK(limiter_.EnterUpload("west"));
}

TEST_F(CallLimiterTest, Enroll_OfEverybodyTogether) {
  EXPECT_OK(limiter_.Enroll());
  EXPECT_OK(limiter_.Enroll());
  EXPECT_THAT(limiter_.Enroll(), StatusIs(Code::kResourceExhausted, HasSubstr("come back in 10 seconds")));
  EXPECT_OK(limiter_.Enter("north"));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/peer_version.h"

#include "common/base/version.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(PeerVersion, MinorVersionOf_AbsentIsZeroAndNewerIsFine) {
  EXPECT_EQ(MinorVersionOf("1", "").value(), 0);
  EXPECT_EQ(MinorVersionOf("1", "0").value(), 0);
  EXPECT_EQ(MinorVersionOf("1", "1").value(), 1);
  EXPECT_EQ(MinorVersionOf("1", "42").value(), 42);
}

TEST(PeerVersion, MinorVersionOf_AnotherMajor) {
  for (const char* major : {"", "0", "2", "1.0", "01"}) {
    EXPECT_THAT(MinorVersionOf(major, "1"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 1"))) << major;
  }
}

TEST(PeerVersion, MinorVersionOf_NoNumber) {
  for (const char* minor : {"x", "-1", "1.5", "99999999999"}) {
    EXPECT_THAT(MinorVersionOf("1", minor), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("attune-protocol-minor")))
        << minor;
  }
}

TEST(PeerVersion, CheckKnowsTask_OldSitesDoPerBatchStudies) {
  for (const auto task : {v1::NextReply::TASK_WAIT, v1::NextReply::TASK_ANSWER, v1::NextReply::TASK_CORRECT,
                          v1::NextReply::TASK_DONE, v1::NextReply::TASK_STOPPED}) {
    EXPECT_OK(CheckKnowsTask(0, task));
  }
}

TEST(PeerVersion, CheckKnowsTask_AggregationNeedsMinorOne) {
  EXPECT_THAT(CheckKnowsTask(0, v1::NextReply::TASK_AGGREGATE),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("1.0"), HasSubstr(std::string("install Attune ") + kVersion + " or newer"))));
  EXPECT_OK(CheckKnowsTask(1, v1::NextReply::TASK_AGGREGATE));
  EXPECT_OK(CheckKnowsTask(7, v1::NextReply::TASK_AGGREGATE));
}

}  // namespace
}  // namespace attune::testing

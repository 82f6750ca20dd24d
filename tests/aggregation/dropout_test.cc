// SPDX-License-Identifier: Apache-2.0
//
// Sites that vanish, and come back, while a round runs under secure aggregation.
#include <gtest/gtest.h>

#include "coordinator/aggregation_outcome.h"
#include "tests/support/masked_consortium.h"

namespace attune::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Dropout, BeforeAnyKeys_TheStudyWaitsOn) {
  MaskedConsortium consortium(3);
  EXPECT_THAT(consortium.RunAll({"site2"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("1 of 3 sites")));
  consortium.Expire();
  EXPECT_THAT(consortium.RunAll({"site2"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("step 1 of 5")));
  EXPECT_EQ(consortium.record().attempt, 1u);
  EXPECT_THAT(consortium.status().WaitingFor(), ElementsAre("site2"));
  EXPECT_OK(consortium.RunAll());
}

TEST(Dropout, BeforeTheMaskedSum_SixSitesGoOnWithFive) {
  MaskedConsortium consortium(6);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  EXPECT_THAT(consortium.RunAll({"site3"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("1 of 6 sites")));
  consortium.Expire();
  ASSERT_OK(consortium.RunAll({"site3"}));
  const StudyStatus status = consortium.status();
  EXPECT_THAT(status.Members(), ElementsAre("site0", "site1", "site2", "site4", "site5"));
  EXPECT_EQ(status.state, v1::STUDY_STATE_COMPLETE);
  EXPECT_EQ(status.rounds.front().aggregation.attempt, 1u);
  // It comes back, and is told.
  EXPECT_THAT(consortium.Run("site3"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("went on without")));
}

TEST(Dropout, AfterTheMaskedSum_ItsDataCountAndItHarmonizesLater) {
  MaskedConsortium consortium(6);
  consortium.RunUntil(v1::AGGREGATION_STEP_CONSISTENCY);
  EXPECT_THAT(consortium.RunAll({"site3"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  consortium.Expire();
  EXPECT_THAT(consortium.RunAll({"site3"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  EXPECT_EQ(consortium.status().Members().size(), 6u);  // its sum is in
  ASSERT_OK(consortium.RunAll());
  EXPECT_EQ(consortium.status().state, v1::STUDY_STATE_COMPLETE);
}

TEST(Dropout, BelowTheThreshold_ANewAttemptWithNewKeys) {
  MaskedConsortium consortium(4);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  EXPECT_THAT(consortium.RunAll({"site3"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("1 of 4 sites")));
  const std::string roster = consortium.record().key_roster_sha256;
  consortium.Expire();
  EXPECT_EQ(consortium.record().attempt, 2u);
  EXPECT_EQ(consortium.record().step, v1::AGGREGATION_STEP_KEYS);
  ASSERT_OK(consortium.RunAll());
  EXPECT_NE(consortium.status().rounds.front().aggregation.key_roster_sha256, roster);
  EXPECT_THAT(consortium.status().Members(), ElementsAre("site0", "site1", "site2", "site3"));
}

TEST(Dropout, Restarts_EndTheStudyWhenThereAreTooMany) {
  MaskedConsortium consortium(3);
  v1::ReportRequest lost;
  lost.set_study("s");
  lost.set_manifest_sha256(consortium.manifest_sha256);
  lost.set_state(v1::SITE_STATE_SESSION_LOST);
  lost.set_round(1);
  for (std::uint32_t attempt = 1; attempt <= kMostAttempts; ++attempt) {
    lost.set_attempt(attempt);
    ASSERT_OK(consortium.desk().Report("site0", lost));
    ASSERT_OK(consortium.desk().Report("site0", lost));  // again: nothing more
  }
  EXPECT_EQ(consortium.status().state, v1::STUDY_STATE_FAILED);
  EXPECT_THAT(consortium.status().failure, HasSubstr("100 attempts"));
}

TEST(Dropout, SessionLost_OfAnOlderAttemptOrAStranger_ChangesNothing) {
  MaskedConsortium consortium(3);
  v1::ReportRequest lost;
  lost.set_study("s");
  lost.set_manifest_sha256(consortium.manifest_sha256);
  lost.set_state(v1::SITE_STATE_SESSION_LOST);
  lost.set_round(1);
  lost.set_attempt(2);
  EXPECT_OK(consortium.desk().Report("site0", lost));
  EXPECT_THAT(consortium.desk().Report("stranger", lost), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("stranger")));
  EXPECT_EQ(consortium.record().attempt, 1u);
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/gate.h"

#include <limits>

#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::StudyAtSite;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(GateTest, CheckApproved_NotApproved) {
  EXPECT_THAT(CheckApproved("s", "abc", std::nullopt),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("attune-site approve s")));
}

TEST(GateTest, CheckApproved_AnotherManifest) {
  v1::Approval approval;
  approval.set_manifest_sha256("abc");
  EXPECT_OK(CheckApproved("s", "abc", approval));
  EXPECT_THAT(CheckApproved("s", "abd", approval),
              StatusIs(absl::StatusCode::kPermissionDenied, AllOf(HasSubstr("abd"), HasSubstr("approved abc"))));
}

TEST(GateTest, CheckQuestion_FirstRoundMustBeTheMethods) {
  const StudyAtSite at;
  Question question = *at.study->method->Begin(at.study->facts);
  EXPECT_OK(CheckQuestion(*at.study->method, at.study->facts, question));
  question.form.push_back({.name = "everything", .rows = 100, .cols = 100});
  EXPECT_THAT(CheckQuestion(*at.study->method, at.study->facts, question),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("asks for something else")));
}

TEST(GateTest, CheckQuestion_FirstRoundWithOtherBody) {
  const StudyAtSite at;
  Question question = *at.study->method->Begin(at.study->facts);
  question.body = Blocks::Zero({{.name = "beta", .rows = 1, .cols = 1}});
  EXPECT_THAT(CheckQuestion(*at.study->method, at.study->facts, question),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("other parameters")));
}

TEST(GateTest, CheckQuestion_LaterRoundsOnlySumsAndCounts) {
  const StudyAtSite at;
  Question question{.round = 2, .form = {{.name = "sum"}, {.name = "n", .kind = BlockKind::kCount}}, .body = {}};
  EXPECT_OK(CheckQuestion(*at.study->method, at.study->facts, question));
  question.form.push_back({.name = "bins", .kind = BlockKind::kHistogram});
  EXPECT_THAT(CheckQuestion(*at.study->method, at.study->facts, question),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("'bins'")));
}

TEST(GateTest, CheckBatchSizes_BelowTheThreshold) {
  v1::StudyConfig config = testing::MakeManifest().config();
  const std::vector<BatchCount> batches = {{"a/one", 30, 10, 0}, {"a/two", 30, 9, 0}};
  EXPECT_THAT(CheckBatchSizes(config, batches), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                         AllOf(HasSubstr("'a/two' has 9"), HasSubstr("fewer than the 10"))));
  config.mutable_method()->mutable_combat()->set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
  EXPECT_OK(CheckBatchSizes(config, batches));
}

TEST(GateTest, CheckFewestPeople_WhateverTheStudySays) {
  EXPECT_OK(CheckFewestPeople({{"a/one", 9, 5, 0}}));
  EXPECT_THAT(CheckFewestPeople({{"a/one", 9, 5, 0}, {"a/two", 9, 4, 0}}),
              StatusIs(absl::StatusCode::kPermissionDenied, AllOf(HasSubstr("'a/two' has 4"), HasSubstr("fewer than 5"))));
}

TEST(GateTest, CheckGate_FewPeopleInAStudyOfSmallBatches) {
  for (const int people : {4, 5}) {
    v1::Manifest manifest = testing::MakeManifest();
    manifest.mutable_config()->mutable_method()->mutable_combat()->set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
    StudyAtSite at(manifest);
    std::vector<testing::Row> rows = testing::RowsOf("a");
    rows.resize(12 + static_cast<std::size_t>(people));  // of the second scanner only so many
    at.SetRows(rows);
    const absl::Status run = at.Run();
    if (people == 5) {
      EXPECT_OK(run);
      continue;
    }
    EXPECT_THAT(run, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("'a/two' has 4")));
    EXPECT_TRUE(at.courier->submitted.empty());
  }
}

class MissingTest : public ::testing::Test {
 protected:
  MissingTest() : config_(testing::MakeManifest().config()), rows_(testing::RowsOf("a")) {
    config_.mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_ALLOW);
  }

  absl::Status Check(v1::AllowMissing allow) const {
    v1::Approval approval;
    approval.set_allow_missing(allow);
    return CheckMissing(config_, approval, {"f0", "f1", "f2"}, testing::MemoryCohort(rows_));
  }

  v1::StudyConfig config_;
  std::vector<testing::Row> rows_;
};

TEST_F(MissingTest, CheckMissing_NeedsApprovalByName) {
  EXPECT_THAT(Check(v1::ALLOW_MISSING_NO),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("approve s --allow-missing'")));
  EXPECT_OK(Check(v1::ALLOW_MISSING_YES));
  config_.mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_REFUSE);
  EXPECT_OK(Check(v1::ALLOW_MISSING_NO));
}

TEST_F(MissingTest, CheckMissing_DifferenceOfFewPeople) {
  rows_[0].values[1] = kNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr("'a/one'"), HasSubstr("'f0'"), HasSubstr("'f1'"), HasSubstr("differ in 1"),
                             HasSubstr("--allow-missing-any-difference"))));
  EXPECT_OK(Check(v1::ALLOW_MISSING_ANY_DIFFERENCE));
}

TEST_F(MissingTest, CheckMissing_FourRefusedFiveAllowed) {
  for (std::size_t i = 0; i < 4; ++i) rows_[i].values[2] = kNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("differ in 4")));
  rows_[4].values[2] = kNan;
  EXPECT_OK(Check(v1::ALLOW_MISSING_YES));
}

TEST_F(MissingTest, CheckMissing_BatchesCountApart) {
  // Three people in each of two batches are not six in one.
  for (const std::size_t i : {0, 1, 2, 12, 13, 14}) rows_[i].values[2] = kNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("differ in 3")));
}

TEST_F(MissingTest, CheckMissing_OnlyPeopleWhoAreEstimatedOn) {
  rows_[0].values[1] = kNan;
  rows_[0].fit = false;
  EXPECT_OK(Check(v1::ALLOW_MISSING_YES));
}

TEST_F(MissingTest, CheckMissing_FeatureThatFewHave) {
  for (std::size_t i = 0; i < 9; ++i) {
    for (double& value : rows_[i].values) value = kNan;
  }
  // No approval lifts this: a sum over three people is no sum.
  for (const v1::AllowMissing allow : {v1::ALLOW_MISSING_YES, v1::ALLOW_MISSING_ANY_DIFFERENCE}) {
    EXPECT_THAT(Check(allow), StatusIs(absl::StatusCode::kPermissionDenied,
                                       AllOf(HasSubstr("'a/one'"), HasSubstr("only 3 of the people"), HasSubstr("'f0'"))));
  }
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/gate.h"

#include <limits>

#include "common/kernel/fold.h"
#include "site_agent/policy.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::StudyAtSite;

constexpr double kGateNan = std::numeric_limits<double>::quiet_NaN();

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

TEST(GateTest, CheckBody_NothingBeyondWhatTheMethodAsks) {
  v1::Manifest manifest = testing::MakeManifest();
  manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  const StudyAtSite at(manifest);
  const Method& method = *at.study->method;
  // Round 2 as the coordinator asks it, from everybody's round 1.
  ASSERT_OK_AND_ASSIGN(const Question first, method.Begin(at.study->facts));
  ASSERT_OK_AND_ASSIGN(auto filled, AnswerQuestion(method, at.study->facts, first, {"a/one", "a/two"}, *at.tables.data, {}, 1));
  const SiteState state{{filled.at("a/one")}};
  ASSERT_OK_AND_ASSIGN(const auto others, AnswerQuestion(method, at.study->facts, first, {"b/one", "b/two"}, at.others, {}, 1));
  filled.insert(others.begin(), others.end());
  ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(first.form, Release::kPooled, filled));
  ASSERT_OK_AND_ASSIGN(const auto next, method.Next(at.study->facts, first, answers));
  const Question& second = std::get<Question>(next);
  EXPECT_OK(CheckBody(method, at.study->facts, second, "a/one", state));

  const auto with_body = [&](const Form& form) {
    Question bent{second.round, second.form, Blocks::Zero(form)};
    for (const BlockSpec& spec : second.body.form()) {
      bent.body.Mutable(spec.name).block(0, 0, spec.rows, spec.cols) = second.body[spec.name];
    }
    return CheckBody(method, at.study->facts, bent, "a/one", state);
  };
  EXPECT_OK(with_body(second.body.form()));
  Form extra = second.body.form();
  extra.push_back({.name = "weights", .rows = 24, .cols = 1});
  EXPECT_THAT(with_body(extra), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not ask")));
  Form longer = second.body.form();
  longer.front().rows += 1;
  EXPECT_THAT(with_body(longer), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not ask")));
  Question asks_more = second;
  asks_more.form.push_back({.name = "more", .rows = 1, .cols = 3});
  EXPECT_THAT(CheckBody(method, at.study->facts, asks_more, "a/one", state),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not ask")));
}

TEST(GateTest, CheckGate_FewPeopleInAStudyOfSmallBatches) {
  for (const int people : {4, 5}) {
    v1::Manifest manifest = testing::MakeManifest();
    manifest.mutable_config()->mutable_method()->mutable_combat()->set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
    StudyAtSite at(manifest);
    at.study->policy.set_min_subjects(5);
    at.study->policy.set_max_param_ratio(0.5);
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
    policy_.set_missing(v1::MISSING_PERMISSION_ANY_DIFFERENCE);
  }

  absl::Status Check(v1::AllowMissing allow) const {
    v1::Approval approval;
    approval.set_allow_missing(allow);
    return CheckMissing(config_, policy_, approval, {"f0", "f1", "f2"}, testing::MemoryCohort(rows_));
  }

  v1::StudyConfig config_;
  v1::SitePolicy policy_ = DefaultPolicy();
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
  rows_[0].values[1] = kGateNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr("'a/one'"), HasSubstr("'f0'"), HasSubstr("'f1'"), HasSubstr("differ in 1"),
                             HasSubstr("--allow-missing-any-difference"))));
  EXPECT_OK(Check(v1::ALLOW_MISSING_ANY_DIFFERENCE));
}

TEST_F(MissingTest, CheckMissing_FourRefusedFiveAllowed) {
  for (std::size_t i = 0; i < 4; ++i) rows_[i].values[2] = kGateNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("differ in 4")));
  rows_[4].values[2] = kGateNan;
  EXPECT_OK(Check(v1::ALLOW_MISSING_YES));
}

TEST_F(MissingTest, CheckMissing_BatchesCountApart) {
  // Three people in each of two batches are not six in one.
  for (const std::size_t i : {0, 1, 2, 12, 13, 14}) rows_[i].values[2] = kGateNan;
  EXPECT_THAT(Check(v1::ALLOW_MISSING_YES), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("differ in 3")));
}

TEST_F(MissingTest, CheckMissing_OnlyPeopleWhoAreEstimatedOn) {
  rows_[0].values[1] = kGateNan;
  rows_[0].fit = false;
  EXPECT_OK(Check(v1::ALLOW_MISSING_YES));
}

TEST_F(MissingTest, CheckMissing_ApprovalOnlyNarrowsThePolicy) {
  rows_[0].values[1] = kGateNan;
  policy_.set_missing(v1::MISSING_PERMISSION_ALLOW);
  EXPECT_THAT(Check(v1::ALLOW_MISSING_ANY_DIFFERENCE),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("'missing: any_difference' in policy.yaml")));
  policy_.set_missing(v1::MISSING_PERMISSION_REFUSE);
  EXPECT_THAT(Check(v1::ALLOW_MISSING_ANY_DIFFERENCE),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("policy.yaml says 'missing: refuse'")));
}

TEST_F(MissingTest, PermittedMissing_WithoutApprovalAsFarAsThePolicy) {
  EXPECT_EQ(PermittedMissing(policy_, std::nullopt), v1::MISSING_PERMISSION_ANY_DIFFERENCE);
  EXPECT_EQ(PermittedMissing(policy_, v1::Approval()), v1::MISSING_PERMISSION_REFUSE);
}

}  // namespace
}  // namespace attune

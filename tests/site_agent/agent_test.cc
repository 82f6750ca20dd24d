// SPDX-License-Identifier: Apache-2.0
#include "site_agent/agent.h"

#include <cmath>
#include <filesystem>

#include "common/wire/simulated_consortium.h"
#include "site_agent/harmonize.h"
#include "site_agent/tables/derivative.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;
using testing::StudyAtSite;

// What the same study gives in one process, without courier or files.
std::string ExpectedTable(const StudyAtSite& at) {
  const auto result = RunInProcess(*at.study->method, at.study->facts, {{"a", at.tables.data.get()}, {"b", &at.others}}, 1);
  EXPECT_OK(result);
  const testing::TempFolder temp;
  auto table = at.tables.data->StageTable(temp.Child("t"), [&](const Subject& subject, std::span<double> out) {
    return at.study->method->Apply(result->models.at(subject.batch), subject, out);
  });
  EXPECT_OK(table);
  EXPECT_OK((*std::move(table)).Commit());
  return *ReadFile(temp.Child("t"));
}

TEST(AgentTest, Run_HarmonizesAndReports) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  EXPECT_EQ(at.Output(kHarmonizedTable), ExpectedTable(at));
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_HARMONIZED));
  EXPECT_THAT(at.courier->submitted[1], SizeIs(1));
}

TEST(AgentTest, Run_PooledGivesTheSameTable) {
  v1::Manifest manifest = testing::MakeManifest();
  manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  manifest.set_consortium(kSimulatedConsortium);
  StudyAtSite pooled(manifest);
  pooled.plain_sums = true;
  ASSERT_OK(pooled.Run());
  StudyAtSite per_batch;
  ASSERT_OK(per_batch.Run());
  EXPECT_EQ(pooled.Output(kHarmonizedTable), per_batch.Output(kHarmonizedTable));
}

TEST(AgentTest, Run_PooledOutsideTheSimulator_IsRefusedAndSendsNothing) {
  for (const char* consortium : {"c", kSimulatedConsortium}) {
    v1::Manifest manifest = testing::MakeManifest();
    manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
    manifest.set_consortium(consortium);
    StudyAtSite at(manifest);
    at.plain_sums = manifest.consortium() != kSimulatedConsortium;
    EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("secure aggregation")));
    EXPECT_TRUE(at.courier->submitted.empty());
  }
}

TEST(AgentTest, Run_AgainOnlyReports) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  const std::string table = at.Output(kHarmonizedTable);
  at.courier->harmonized = false;
  ASSERT_OK(at.Run());
  EXPECT_EQ(at.Output(kHarmonizedTable), table);
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_HARMONIZED, v1::SITE_STATE_HARMONIZED));
  ASSERT_OK(at.Run()) << "the coordinator says DONE";
}

TEST(AgentTest, Run_DoneButTheOutputIsGone_MakesItAgain) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  const std::string table = at.Output(kHarmonizedTable);
  std::filesystem::remove_all(at.out());
  ASSERT_OK(at.Run());
  EXPECT_EQ(at.Output(kHarmonizedTable), table);
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_HARMONIZED)) << "it was told before";

  std::filesystem::remove_all(at.out());
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows[3].values[1] *= 2;
  at.SetRows(rows);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the data changed")));
}

TEST(AgentTest, Run_ReplyOfAnotherManifest) {
  StudyAtSite at;
  at.courier->next = [] {
    v1::NextReply reply;
    reply.set_task(v1::NextReply::TASK_DONE);
    reply.set_manifest_sha256(std::string(64, 'a'));
    return reply;
  };
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replies for the manifest 'aaaa")));
  EXPECT_EQ(at.Output(kHarmonizedTable), "");
}

TEST(AgentTest, Run_OutputThatCannotBeWritten_IsToldBeforeAnythingIsSent) {
  StudyAtSite at;
  ASSERT_OK(WriteFileAtomically(at.out(), "a file", FileAccess::kShared));
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a folder")));
  EXPECT_TRUE(at.courier->submitted.empty());
}

TEST(AgentTest, Run_ApprovalNarrowedAfterAnswering_KeptAnswerStays) {
  v1::Manifest manifest = testing::MakeManifest();
  manifest.mutable_config()->mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_ALLOW);
  StudyAtSite at(manifest, v1::ALLOW_MISSING_ANY_DIFFERENCE);
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows[0].values[1] = std::nan("");
  at.SetRows(rows);
  at.courier->break_at = "submit";
  ASSERT_FALSE(at.Run().ok());
  EXPECT_FALSE(at.Kept("answer-1.bundle").empty());
  at.study->approval->set_allow_missing(v1::ALLOW_MISSING_YES);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("differ in 1")));
  EXPECT_TRUE(at.courier->submitted.empty());
}

class BrokenRunTest : public ::testing::TestWithParam<const char*> {};

TEST_P(BrokenRunTest, Run_GoesOnWithTheSameBytes) {
  StudyAtSite whole;
  ASSERT_OK(whole.Run());
  StudyAtSite at;
  at.courier->break_at = GetParam();
  ASSERT_THAT(at.Run(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("broken at")));
  ASSERT_OK(at.Run());
  EXPECT_EQ(at.Kept("answer-1.bundle"), whole.Kept("answer-1.bundle"));
  for (const char* name : {kHarmonizedTable, kModelFile, kHarmonizedSidecar})
    EXPECT_EQ(at.Output(name), whole.Output(name)) << name;
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_HARMONIZED));
}

INSTANTIATE_TEST_SUITE_P(EveryCall, BrokenRunTest, ::testing::Values("next", "fetch", "submit", "submitted", "report"),
                         [](const auto& each) { return std::string(each.param); });

TEST(AgentTest, Run_CoordinatorThatForgotGetsTheSameAnswer) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  const std::string sent = at.courier->submitted[1].front();
  at.ForgetCoordinator();
  ASSERT_OK(at.Run());
  EXPECT_THAT(at.courier->submitted[1], ElementsAre(sent));
}

TEST(AgentTest, Run_DataChangedAfterAnswering) {
  StudyAtSite at;
  at.courier->break_at = "submitted";
  ASSERT_FALSE(at.Run().ok());
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows[3].values[1] *= 2;
  at.SetRows(rows);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the data changed")));
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_STOPPED_BY_DATA_CHECK));
  EXPECT_EQ(at.Output(kHarmonizedTable), "");
}

TEST(AgentTest, Run_QuestionThatWasNotApproved) {
  StudyAtSite at;
  at.courier->question.form.push_back({.name = "everything", .rows = 24, .cols = 3});
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("asks for something else")));
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_REFUSED_BY_POLICY));
  EXPECT_THAT(at.courier->submitted, IsEmpty());
  EXPECT_EQ(at.Kept("own-1.bundle"), "");
}

TEST(AgentTest, Run_SmallBatch) {
  StudyAtSite at;
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows.resize(21);  // 9 of the second scanner
  at.SetRows(rows);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'a/two' has 9")));
  EXPECT_THAT(at.courier->submitted, IsEmpty());
}

TEST(AgentTest, Run_CorrectionThatIsNotItsOwnFit) {
  StudyAtSite at;
  at.courier->break_at = "submitted";
  ASSERT_FALSE(at.Run().ok());
  Blocks& own = at.courier->correction->by_batch.at("a/one");
  for (const BlockSpec& block : Form(own.form())) own.Mutable(block.name).array() += 0.01;
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_STOPPED_BY_ERROR));
  EXPECT_EQ(at.Output(kHarmonizedTable), "");
}

TEST(AgentTest, Run_CorrectionWithoutThisSitesPart) {
  StudyAtSite at;
  at.courier->break_at = "submitted";
  ASSERT_FALSE(at.Run().ok());
  at.courier->correction->by_batch.erase("a/two");
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no part of batch 'a/two'")));
}

TEST(AgentTest, Run_OutputExistsBeforeAnythingIsSent) {
  StudyAtSite at;
  ASSERT_OK(MakeFolder(at.out(), FileAccess::kShared));
  ASSERT_OK(WriteFileAtomically(at.out() + "/" + kHarmonizedTable, "somebody's", FileAccess::kShared));
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--force")));
  EXPECT_THAT(at.courier->submitted, IsEmpty());
  EXPECT_THAT(at.courier->reports, IsEmpty());
  EXPECT_EQ(at.Output(kHarmonizedTable), "somebody's");
  ASSERT_OK(at.Run(/*force=*/true));
  EXPECT_EQ(at.Output(kHarmonizedTable), ExpectedTable(at));
}

TEST(AgentTest, Run_GoesOnInAnOutputThatItHadBegun) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  const std::string table = at.Output(kHarmonizedTable);
  std::filesystem::remove(at.out() + "/" + kHarmonizedTable);
  at.courier->harmonized = false;
  ASSERT_OK(at.Run());
  EXPECT_EQ(at.Output(kHarmonizedTable), table);
}

TEST(AgentTest, Run_WaitsOnlyAsLongAsItsLimit) {
  StudyAtSite at;
  int asked = 0;
  at.courier->next = [&]() -> absl::StatusOr<v1::NextReply> {
    ++asked;
    v1::NextReply reply;
    reply.set_task(v1::NextReply::TASK_WAIT);
    reply.set_message("1 site has not answered");
    return reply;
  };
  RunOptions options{.out = at.out(), .wait_limit = absl::ZeroDuration()};
  EXPECT_THAT(RunStudy(*at.study, at.tables, options, at.courier.get()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("1 site has not answered")));
  EXPECT_EQ(asked, 1);
  options.wait_limit = absl::Milliseconds(150);
  EXPECT_FALSE(RunStudy(*at.study, at.tables, options, at.courier.get()).ok());
  EXPECT_GT(asked, 2);
}

TEST(AgentTest, Run_StoppedStudy) {
  StudyAtSite at;
  at.courier->next = []() -> absl::StatusOr<v1::NextReply> {
    v1::NextReply reply;
    reply.set_task(v1::NextReply::TASK_STOPPED);
    reply.set_message("covariate 'age' is constant");
    return reply;
  };
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("covariate 'age' is constant")));
  EXPECT_THAT(at.courier->reports, IsEmpty());
}

TEST(AgentTest, Run_TasksThatMakeNoSense) {
  StudyAtSite at;
  v1::NextReply reply;
  at.courier->next = [&]() -> absl::StatusOr<v1::NextReply> { return reply; };
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not know")));
  reply.set_task(v1::NextReply::TASK_ANSWER);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without saying where")));
  reply.set_task(v1::NextReply::TASK_CORRECT);
  EXPECT_THAT(at.Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without saying where")));
}

}  // namespace
}  // namespace attune

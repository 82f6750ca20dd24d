// SPDX-License-Identifier: Apache-2.0
#include "site_agent/answer.h"

#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using ::testing::Key;
using testing::StatusIs;
using testing::StudyAtSite;
using ::testing::UnorderedElementsAre;

TEST(AnswerTest, ComputeAnswer_PerBatchSendsWhatIsKept) {
  StudyAtSite at;
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  ASSERT_OK_AND_ASSIGN(const v1::UploadHeader header, ComputeAnswer(*at.study, at.tables, 1, question, 1));
  EXPECT_EQ(at.Kept("own-1.bundle"), at.Kept("answer-1.bundle"));
  EXPECT_EQ(header.bundle().sha256(), Sha256Hex(at.Kept("answer-1.bundle")));
  EXPECT_EQ(header.bundle().size(), at.Kept("answer-1.bundle").size());
}

TEST(AnswerTest, ComputeAnswer_LooksAtEverybodyOnce) {
  StudyAtSite at;
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  ASSERT_OK(ComputeAnswer(*at.study, at.tables, 1, question, 1));
  EXPECT_EQ(dynamic_cast<const testing::MemorySiteData&>(*at.tables.data).passes(), 1);
}

TEST(AnswerTest, ComputeAnswer_RefusedAfterTheLook_KeepsNothing) {
  StudyAtSite at;
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows[0].values[0] = 1e9;  // one of 12 values is the sum
  at.SetRows(rows);
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  EXPECT_THAT(ComputeAnswer(*at.study, at.tables, 1, question, 1),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("nine tenths of the sum of 'f0'")));
  EXPECT_FALSE(FileExists(at.study->folder.OwnPath(1)));
  EXPECT_FALSE(FileExists(at.study->folder.AnswerPath(1)));
}

TEST(AnswerTest, ComputeAnswer_PooledSendsOnlyTheSum) {
  v1::Manifest manifest = testing::MakeManifest();
  manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  StudyAtSite at(manifest);
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  ASSERT_OK(ComputeAnswer(*at.study, at.tables, 1, question, 1));
  ASSERT_OK_AND_ASSIGN(const Bundle sent,
                       OpenBundle(at.study->folder.AnswerPath(1), v1::BUNDLE_KIND_ANSWER, {.question_sha256 = question}));
  EXPECT_THAT(sent.parts, UnorderedElementsAre(Key(kSumPart)));
  ASSERT_OK_AND_ASSIGN(const Bundle own,
                       OpenBundle(at.study->folder.OwnPath(1), v1::BUNDLE_KIND_ANSWER, {.question_sha256 = question}));
  EXPECT_THAT(own.parts, UnorderedElementsAre(Key("a/one"), Key("a/two")));
}

TEST(AnswerTest, KeptAnswer_NoneYet) {
  StudyAtSite at;
  EXPECT_THAT(KeptAnswer(*at.study, at.tables, 1, "x"), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST(AnswerTest, KeptAnswer_AnotherQuestion) {
  StudyAtSite at;
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  ASSERT_OK_AND_ASSIGN(const v1::UploadHeader header, ComputeAnswer(*at.study, at.tables, 1, question, 1));
  ASSERT_OK_AND_ASSIGN(const v1::UploadHeader kept, KeptAnswer(*at.study, at.tables, 1, question));
  EXPECT_EQ(kept.bundle().sha256(), header.bundle().sha256());
  EXPECT_THAT(KeptAnswer(*at.study, at.tables, 1, Sha256Hex("another")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("a round is answered once")));
}

TEST(AnswerTest, KeptAnswer_DataChanged) {
  StudyAtSite at;
  ASSERT_OK_AND_ASSIGN(const std::string question, WriteFirstQuestion(*at.study));
  ASSERT_OK(ComputeAnswer(*at.study, at.tables, 1, question, 1));
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows[0].values[0] += 1;
  at.SetRows(rows);
  EXPECT_THAT(KeptAnswer(*at.study, at.tables, 1, question),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the data changed since this site answered")));
}

TEST(AnswerTest, ComputeAnswer_RoundsInOrder) {
  StudyAtSite at;
  EXPECT_THAT(ComputeAnswer(*at.study, at.tables, 2, "x", 1),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("cannot follow")));
}

TEST(AnswerTest, CheckGate_BatchThatWasNotRegistered) {
  StudyAtSite at;
  std::vector<testing::Row> rows = testing::RowsOf("a");
  for (testing::Row& row : rows) row.batch = "a/three";
  at.SetRows(rows);
  EXPECT_THAT(CheckGate(*at.study, at.tables, at.courier->question),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'a/three', which this site did not register")));
  at.SetRows({testing::RowsOf("a").front()});
  EXPECT_THAT(CheckGate(*at.study, at.tables, at.courier->question),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nobody of batch 'a/two'")));
}

}  // namespace
}  // namespace attune

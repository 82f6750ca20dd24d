// SPDX-License-Identifier: Apache-2.0
//
// The fold itself, with a method of two rounds that is easy to follow: means, then squares about the pooled mean.
#include "common/kernel/fold.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "tests/support/fake_method.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

using ::testing::_;
using ::testing::HasSubstr;

class Fold : public ::testing::Test {
 protected:
  Fold() {
    facts_.features = {"v"};
    facts_.batches = {"A/1", "A/2", "B/1"};
    rows_ = {{"a", "A/1", {}, {1}}, {"b", "A/1", {}, {3}}, {"c", "A/2", {}, {5}}, {"d", "B/1", {}, {11}}};
  }
  FakeMethod method_;
  StudyFacts facts_;
  std::vector<Row> rows_;
};

TEST_F(Fold, RunInProcess_TwoRounds) {
  for (const Release release : {Release::kPerBatch, Release::kPooled}) {
    facts_.release = release;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(method_, facts_, rows_));
    EXPECT_EQ(result.correction.common["mean"](0, 0), 5);
    EXPECT_EQ(result.correction.evidence["squares"](0, 0), 16 + 4 + 0 + 36);
    EXPECT_EQ(result.correction.by_batch.size(), release == Release::kPerBatch ? 3 : 0);
    ASSERT_EQ(result.models.size(), 3);
    EXPECT_EQ(result.models.at("A/1").parameters["shift"](0, 0), 3);
    EXPECT_EQ(result.models.at("B/1").parameters["shift"](0, 0), -6);
  }
}

TEST_F(Fold, RunInProcess_SubjectsNotEstimatedOn_AreNotCounted) {
  rows_.push_back({"e", "B/1", {}, {1000}, /*fit=*/false});
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(method_, facts_, rows_));
  EXPECT_EQ(result.correction.common["mean"](0, 0), 5);
}

TEST_F(Fold, RunInProcess_ErrorsOfTheMethodComeThrough) {
  facts_.features = {"forbidden"};
  EXPECT_THAT(RunRows(method_, facts_, rows_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("forbidden")));
  facts_.features = {"v"};
  EXPECT_THAT(RunRows(FakeMethod(5), facts_, rows_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fewer than 5")));
}

TEST_F(Fold, AnswerQuestion_OneFormPerBatch) {
  ASSERT_OK_AND_ASSIGN(const auto filled, AnswerFirst(method_, facts_, rows_));
  ASSERT_EQ(filled.size(), 3);
  EXPECT_EQ(filled.at("A/1")["n"](0, 0), 2);
  EXPECT_EQ(filled.at("A/1")["sum"](0, 0), 4);
  EXPECT_EQ(filled.at("A/2")["sum"](0, 0), 5);
}

TEST_F(Fold, AnswerQuestion_BatchThatIsNotListed_InvalidArgument) {
  rows_.push_back({"e", "A/3", {}, {1}});
  EXPECT_THAT(AnswerFirst(method_, facts_, rows_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'A/3'")));
}

TEST_F(Fold, AnswerQuestion_ErrorOfTheCohort_ComesThrough) {
  class Broken : public Cohort {
    absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)>) const override {
      return absl::DataLossError("line 7");
    }
  };
  ASSERT_OK_AND_ASSIGN(const Question question, method_.Begin(facts_));
  EXPECT_THAT(AnswerQuestion(method_, facts_, question, facts_.batches, Broken(), {}, 1),
              StatusIs(absl::StatusCode::kDataLoss, "line 7"));
}

TEST_F(Fold, AnswerQuestion_OfAnotherMethod_InvalidArgument) {
  const Question question{1, {{"other", BlockKind::kSum, 1, 1}}, {}};
  EXPECT_THAT(AnswerQuestion(method_, facts_, question, facts_.batches, MemoryCohort(rows_), {}, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(Fold, SumOf_NamesTheBatchThatDoesNotFit) {
  const Form form = {{"v", BlockKind::kSum, 1, 1}};
  ASSERT_OK_AND_ASSIGN(const Summary none, SumOf(form, {}));
  EXPECT_EQ(none["v"](0, 0), 0);
  EXPECT_THAT(SumOf(form, {{"A/1", Summary::Zero(form)}, {"A/2", Summary()}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch 'A/2'")));
}

// Larger than a tile, of sites of one batch and of several.
std::map<BatchId, Summary> ManyEntries(const Form& form) {
  Dice dice(5);
  std::map<BatchId, Summary> by_batch;
  for (const char* batch : {"A/1", "A/2", "A/3", "B/1", "C/1", "C/2"}) {
    Summary& summary = by_batch[batch] = Summary::Zero(form);
    for (double& value : summary.MutableValues()) value = dice.Normal();
  }
  return by_batch;
}
const Form kManyEntries = {{"v", BlockKind::kSum, 3, 70'001}, {"one", BlockKind::kSum, 1, 1}, {"none", BlockKind::kSum, 0, 4}};

TEST_F(Fold, AddUp_InTiles_TheBytesOfAddingBatchAfterBatch) {
  const std::map<BatchId, Summary> by_batch = ManyEntries(kManyEntries);
  std::map<std::string, Summary> by_site;
  for (const auto& [batch, summary] : by_batch) {
    ASSERT_OK(by_site.try_emplace(SiteOf(batch), Summary::Zero(kManyEntries)).first->second.Add(summary));
  }
  Summary expected = Summary::Zero(kManyEntries);
  for (const auto& [site, summary] : by_site) ASSERT_OK(expected.Add(summary));
  for (const int threads : {1, 2, 5}) {
    ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(kManyEntries, Release::kPerBatch, by_batch, threads));
    EXPECT_TRUE(SameBytes(answers.pooled, expected)) << threads;
    EXPECT_TRUE(SameBytes(answers.by_batch, by_batch));
  }
}

TEST_F(Fold, AddUp_NotFinite_NamesTheFirstBatchAndItsBlock) {
  std::map<BatchId, Summary> by_batch = ManyEntries(kManyEntries);
  by_batch.at("C/1").Mutable("v")(0, 3) = std::numeric_limits<double>::infinity();
  by_batch.at("B/1").Mutable("v")(2, 70'000) = std::nan("");
  for (const int threads : {1, 3}) {
    EXPECT_THAT(AddUp(kManyEntries, Release::kPooled, by_batch, threads),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch 'B/1': block 'v'")));
  }
}

// That is for the method to tell, which knows what the numbers are.
TEST_F(Fold, AddUp_TooLargeASum_IsNotFinite) {
  const Form form = {{"v", BlockKind::kSum, 1, 1}};
  Summary large = Summary::Zero(form);
  large.Mutable("v")(0, 0) = std::numeric_limits<double>::max();
  ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(form, Release::kPooled, {{"A/1", large}, {"B/1", large}}));
  EXPECT_FALSE(answers.pooled.CheckFinite().ok());
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
//
// Filled forms are a commutative monoid under Add, for every method, its options and both releases.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Calls body(question, filled forms) for round 1 of every variant.
template <typename Body>
void ForEachFilledForm(Body body) {
  for (const Variant& variant : AllVariants()) {
    for (const Release release : kReleases) {
      SCOPED_TRACE(variant.name + (release == Release::kPooled ? ", pooled" : ", per_batch"));
      SyntheticStudy study = MakeSynthetic({.seed = 3, .missing_rate = variant.missing ? 0.05 : 0});
      study.facts.release = release;
      study.facts.options = variant.options;
      ASSERT_OK_AND_ASSIGN(const Question question, variant.method->Begin(study.facts));
      ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(*variant.method, study.facts, study.rows));
      std::vector<Summary> filled;
      for (const auto& [batch, summary] : by_batch) filled.push_back(summary);
      ASSERT_GE(filled.size(), 3);
      body(question, filled);
    }
  }
}

Summary Sum(Summary a, const Summary& b) {
  EXPECT_OK(a.Add(b));
  return a;
}

TEST(Add, ZeroIsTheUnit) {
  ForEachFilledForm([](const Question& question, const std::vector<Summary>& filled) {
    const Summary zero = Summary::Zero(question.form);
    EXPECT_TRUE(SameBytes(Sum(filled[0], zero), filled[0]));
    EXPECT_TRUE(SameBytes(Sum(zero, filled[0]), filled[0]));
  });
}

TEST(Add, CommutesBitForBit) {
  ForEachFilledForm([](const Question&, const std::vector<Summary>& filled) {
    EXPECT_TRUE(SameBytes(Sum(filled[0], filled[1]), Sum(filled[1], filled[0])));
    EXPECT_FALSE(SameBytes(Sum(filled[0], filled[1]), filled[0]));
  });
}

TEST(Add, IsAssociative) {
  ForEachFilledForm([](const Question&, const std::vector<Summary>& filled) {
    const Summary left = Sum(Sum(filled[0], filled[1]), filled[2]);
    const Summary right = Sum(filled[0], Sum(filled[1], filled[2]));
    EXPECT_LE(LargestRelativeDifference(left.values(), right.values()), 1e-12);
  });
}

TEST(Add, UnequalForms_InvalidArgumentAndNothingChanges) {
  ForEachFilledForm([](const Question& question, const std::vector<Summary>& filled) {
    std::vector<Form> others = {{}, question.form, question.form, question.form, question.form};
    others[1].pop_back();
    others[2].front().name += "x";
    others[3].back().cols += 1;
    others[4].back().kind = BlockKind::kHistogram;
    for (const Form& form : others) {
      Summary target = filled[0];
      EXPECT_THAT(target.Add(Summary::Zero(form)),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("forms differ: block")));
      EXPECT_TRUE(SameBytes(target, filled[0]));
    }
  });
}

TEST(Add, ValueThatIsNotFinite_InvalidArgumentAndNothingChanges) {
  ForEachFilledForm([](const Question& question, const std::vector<Summary>& filled) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
      for (const BlockSpec& spec : question.form) {
        if (spec.rows * spec.cols == 0) continue;
        Summary other = filled[1];
        other.Mutable(spec.name)(spec.rows - 1, spec.cols - 1) = bad;
        Summary target = filled[0];
        EXPECT_THAT(target.Add(other), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block '" + spec.name + "'")));
        EXPECT_TRUE(SameBytes(target, filled[0]));
      }
    }
  });
}

TEST(AddUp, BothReleasesGiveTheSamePooledBytes) {
  ForEachFilledForm([](const Question& question, const std::vector<Summary>& filled) {
    std::map<BatchId, Summary> by_batch;
    for (std::size_t b = 0; b < filled.size(); ++b) by_batch["s" + std::to_string(b % 2) + "/" + std::to_string(b)] = filled[b];
    ASSERT_OK_AND_ASSIGN(const Answers per_batch, AddUp(question.form, Release::kPerBatch, by_batch));
    ASSERT_OK_AND_ASSIGN(const Answers pooled, AddUp(question.form, Release::kPooled, by_batch));
    EXPECT_TRUE(SameBytes(per_batch.pooled, pooled.pooled));
    EXPECT_TRUE(SameBytes(per_batch.by_batch, by_batch));
    EXPECT_TRUE(pooled.by_batch.empty());
  });
}

TEST(AddUp, UnequalForm_NamesTheBatch) {
  const Form form = {{"a", BlockKind::kSum, 1, 1}};
  const std::map<BatchId, Summary> by_batch = {{"A/all", Summary::Zero(form)}, {"B/all", Summary::Zero({})}};
  EXPECT_THAT(AddUp(form, Release::kPooled, by_batch),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch 'B/all'")));
}

TEST(Registry, EveryMethodIsFoundByItsIdAndTellsOfItself) {
  ASSERT_FALSE(AllMethods().empty());
  for (const Method* method : AllMethods()) {
    const MethodInfo& info = method->info();
    EXPECT_EQ(FindMethod(info.id), method);
    EXPECT_THAT(info.id, HasSubstr("/"));
    EXPECT_THAT(info.summary, Not(""));
    EXPECT_THAT(info.reference, Not(""));
    EXPECT_THAT(info.question, Not(""));
  }
  EXPECT_EQ(FindMethod("combat"), nullptr);
  EXPECT_EQ(FindMethod(""), nullptr);
}

}  // namespace
}  // namespace attune::testing

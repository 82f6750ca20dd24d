// SPDX-License-Identifier: Apache-2.0
//
// The same people give the same bytes, whatever the order of rows and sites, the threads and the shards. (Retries and crashes:
// tests/coordinator, tests/end_to_end.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/numeric/moments.h"
#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

// More features than two tiles hold, so that threads have something to split.
constexpr int kManyFeatures = 5003;

SyntheticStudy StudyOf(const Variant& variant, int features) {
  SyntheticStudy study = MakeSynthetic({.seed = 5, .features = features, .missing_rate = variant.missing ? 0.05 : 0});
  study.facts.options = variant.options;
  return study;
}

std::vector<Row> Shuffled(std::vector<Row> rows, std::uint64_t seed) {
  Dice dice(seed);
  for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[dice.Below(i)]);
  return rows;
}

TEST(Bytes, DoNotDependOnTheOrderOfRows) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    const SyntheticStudy study = StudyOf(variant, 30);
    ASSERT_OK_AND_ASSIGN(const auto in_order, AnswerFirst(*variant.method, study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const auto shuffled, AnswerFirst(*variant.method, study.facts, Shuffled(study.rows, 11)));
    EXPECT_TRUE(SameBytes(in_order, shuffled));
  }
}

TEST(Bytes, DoNotDependOnTheOrderOfSites) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    SyntheticStudy study = StudyOf(variant, 30);
    ASSERT_OK_AND_ASSIGN(const Question question, variant.method->Begin(study.facts));
    const std::map<std::string, MemoryCohort> cohorts = SplitBySite(study.rows);
    std::vector<std::string> arrival;
    for (const auto& [site, cohort] : cohorts) arrival.push_back(site);
    std::vector<Summary> sums;
    do {
      std::map<BatchId, Summary> by_batch;
      for (const std::string& site : arrival) {
        std::vector<BatchId> batches;
        for (const BatchId& batch : study.facts.batches) {
          if (SiteOf(batch) == site) batches.push_back(batch);
        }
        ASSERT_OK_AND_ASSIGN(auto filled,
                             AnswerQuestion(*variant.method, study.facts, question, batches, cohorts.at(site), {}, 1));
        by_batch.merge(filled);
      }
      ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(question.form, Release::kPerBatch, by_batch));
      sums.push_back(answers.pooled);
    } while (std::next_permutation(arrival.begin(), arrival.end()));
    ASSERT_EQ(sums.size(), 6);
    for (const Summary& sum : sums) EXPECT_TRUE(SameBytes(sum, sums[0]));
  }
}

TEST(Bytes, DoNotDependOnThreads) {
  for (const Variant& variant : AllVariants()) {
    if (variant.name.find("nonparametric") != std::string::npos) continue;  // its own case below: quadratic in features
    SCOPED_TRACE(variant.name);
    const SyntheticStudy study = StudyOf(variant, kManyFeatures);
    ASSERT_OK_AND_ASSIGN(const auto one, AnswerFirst(*variant.method, study.facts, study.rows, 1));
    ASSERT_OK_AND_ASSIGN(const auto eight, AnswerFirst(*variant.method, study.facts, study.rows, 8));
    EXPECT_TRUE(SameBytes(one, eight));
  }
}

TEST(Bytes, DoNotDependOnThreads_WholeFold) {
  for (const Variant& variant : AllVariants()) {
    for (const Release release : kReleases) {
      SCOPED_TRACE(variant.name);
      // The non-parametric prior splits single features, all else tiles of them.
      const bool nonparametric = variant.name.find("nonparametric") != std::string::npos;
      SyntheticStudy study = StudyOf(variant, nonparametric ? 60 : kManyFeatures);
      study.facts.release = release;
      ASSERT_OK_AND_ASSIGN(const FoldResult one, RunRows(*variant.method, study.facts, study.rows, 1));
      ASSERT_OK_AND_ASSIGN(const FoldResult eight, RunRows(*variant.method, study.facts, study.rows, 8));
      EXPECT_TRUE(SameBytes(one.correction.common, eight.correction.common));
      EXPECT_TRUE(SameBytes(one.correction.evidence, eight.correction.evidence));
      EXPECT_EQ(one.correction.notes, eight.correction.notes);
      for (const auto& [batch, model] : one.models) EXPECT_TRUE(SameBytes(model.parameters, eight.models.at(batch).parameters));
    }
  }
}

TEST(Bytes, TheSameTwice) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    const SyntheticStudy study = StudyOf(variant, 30);
    ASSERT_OK_AND_ASSIGN(const FoldResult first, RunRows(*variant.method, study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const FoldResult again, RunRows(*variant.method, study.facts, study.rows));
    EXPECT_TRUE(SameBytes(first.correction.common, again.correction.common));
    EXPECT_TRUE(SameBytes(first.correction.by_batch, again.correction.by_batch));
    EXPECT_TRUE(SameBytes(first.correction.evidence, again.correction.evidence));
  }
}

// One batch in shards cut before each of `cuts`, merged from the left or from the right.
absl::StatusOr<Summary> AnswerInShards(const Variant& variant, const SyntheticStudy& study, const BatchId& batch,
                                       const std::vector<std::size_t>& cuts, bool from_the_right) {
  const absl::StatusOr<Question> question = variant.method->Begin(study.facts);
  if (!question.ok()) return question.status();
  std::vector<Row> rows;
  for (const Row& row : study.rows) {
    if (row.batch == batch) rows.push_back(row);
  }
  std::vector<std::size_t> borders = {0};
  borders.insert(borders.end(), cuts.begin(), cuts.end());
  borders.push_back(rows.size());
  std::vector<std::unique_ptr<Accumulator>> shards;
  for (std::size_t s = 0; s + 1 < borders.size(); ++s) {
    auto shard =
        variant.method->Answer(study.facts, *question, batch, {}, {.first_subject = static_cast<Eigen::Index>(borders[s])});
    if (!shard.ok()) return shard.status();
    for (std::size_t r = borders[s]; r < borders[s + 1]; ++r) {
      if (absl::Status added = (*shard)->Add(AsSubject(rows[r])); !added.ok()) return added;
    }
    shards.push_back(*std::move(shard));
  }
  while (shards.size() > 1) {
    const std::size_t into = from_the_right ? shards.size() - 2 : 0;
    if (absl::Status merged = shards[into]->Merge(std::move(*shards[into + 1])); !merged.ok()) return merged;
    shards.erase(shards.begin() + static_cast<std::ptrdiff_t>(into) + 1);
  }
  return std::move(*shards[0]).Finish();
}

TEST(Shards, CutOnBlockBorders_SameBytes) {
  constexpr std::size_t kBlock = kBlockSubjects;
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    SyntheticStudy study = MakeSynthetic({.seed = 6,
                                          .batches_per_site = {1, 1},
                                          .subjects_per_batch = 11 * kBlockSubjects + 3,
                                          .missing_rate = variant.missing ? 0.05 : 0});
    study.facts.options = variant.options;
    const BatchId batch = "site11/scanner0";
    ASSERT_OK_AND_ASSIGN(const Summary whole, AnswerInShards(variant, study, batch, {}, false));
    for (const std::vector<std::size_t>& cuts : std::vector<std::vector<std::size_t>>{{kBlock},
                                                                                      {3 * kBlock},
                                                                                      {kBlock, 2 * kBlock, 7 * kBlock},
                                                                                      {5 * kBlock, 10 * kBlock},
                                                                                      {4 * kBlock, 8 * kBlock, 11 * kBlock},
                                                                                      {2 * kBlock, 2 * kBlock}}) {
      for (const bool from_the_right : {false, true}) {
        ASSERT_OK_AND_ASSIGN(const Summary merged, AnswerInShards(variant, study, batch, cuts, from_the_right));
        EXPECT_TRUE(SameBytes(merged, whole)) << cuts.size() << " cuts, the first at " << cuts[0];
      }
    }
  }
}

TEST(Shards, CutAnywhere_SameTo1em12) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    SyntheticStudy study = MakeSynthetic(
        {.seed = 6, .batches_per_site = {1, 1}, .subjects_per_batch = 91, .missing_rate = variant.missing ? 0.05 : 0});
    study.facts.options = variant.options;
    const BatchId batch = "site10/scanner0";
    ASSERT_OK_AND_ASSIGN(const Summary whole, AnswerInShards(variant, study, batch, {}, false));
    Dice dice(7);
    for (int trial = 0; trial < 20; ++trial) {
      std::vector<std::size_t> cuts = {dice.Below(91), dice.Below(91), dice.Below(91)};
      std::sort(cuts.begin(), cuts.end());
      ASSERT_OK_AND_ASSIGN(const Summary merged, AnswerInShards(variant, study, batch, cuts, trial % 2 == 1));
      EXPECT_LE(LargestRelativeDifference(merged.values(), whole.values()), 1e-12);
    }
  }
}

TEST(Precision, MeanOf1e7StandardDeviations_LosesNothingThatMatters) {
  // The same noise about 100 and about 1e7: the harmonized noise must be the same up to what a double near 1e7 can hold (2e-9).
  SyntheticStudy near = MakeSynthetic({.seed = 8, .base = 0});
  for (Row& row : near.rows) {
    // Multiples of 2^-26 stay exact when 1e7 is added.
    for (double& value : row.values) value = std::round(value * 0x1p26) * 0x1p-26;
  }
  SyntheticStudy far = near;
  for (Row& row : far.rows) {
    for (double& value : row.values) value += 1e7;
  }
  for (const Release release : kReleases) {
    near.facts.release = release;
    far.facts.release = release;
    const Method& method = *FindMethod("combat/1");
    ASSERT_OK_AND_ASSIGN(const Values expected, Harmonize(method, near.facts, near.rows));
    ASSERT_OK_AND_ASSIGN(const Values values, Harmonize(method, far.facts, far.rows));
    double largest = 0;
    for (std::size_t r = 0; r < values.size(); ++r) {
      for (std::size_t f = 0; f < values[r].size(); ++f)
        largest = std::max(largest, std::abs(values[r][f] - 1e7 - expected[r][f]));
    }
    EXPECT_LE(largest, 2e-8);
    // The coordinator's sums lose no more: scatter about 1e7 equals scatter about 0.
    ASSERT_OK_AND_ASSIGN(const auto here, AnswerFirst(method, near.facts, near.rows));
    ASSERT_OK_AND_ASSIGN(const auto there, AnswerFirst(method, far.facts, far.rows));
    for (const auto& [batch, summary] : here) {
      const Eigen::MatrixXd difference = there.at(batch)["yy"] - summary["yy"];
      EXPECT_LE(difference.cwiseAbs().maxCoeff() / summary["yy"].maxCoeff(), 1e-8);
    }
  }
}

}  // namespace
}  // namespace attune::testing

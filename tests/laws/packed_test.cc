// SPDX-License-Identifier: Apache-2.0
//
// Answers that came in files, whose flags are bits, are the same to every method as the filled forms themselves; and what an
// answer of images takes on its way.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "common/base/digest.h"
#include "common/wire/bundle.h"
#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

// As the coordinator opens them.
std::map<BatchId, Summary> ThroughAFile(const std::map<BatchId, Summary>& by_batch) {
  const TempFolder folder;
  const BundleBinding binding = {Sha256Hex("m"), 1, Sha256Hex("q")};
  EXPECT_OK(WriteAnswer(folder / "answer", binding, by_batch));
  absl::StatusOr<Bundle> bundle = OpenPackedAnswer(folder / "answer", binding, BundleValues::kChecked);
  EXPECT_OK(bundle);
  return bundle.ok() ? std::move(bundle->parts) : std::map<BatchId, Summary>();
}

void ExpectSameOutcome(const Method& method, const StudyFacts& facts, const std::map<BatchId, Summary>& by_batch,
                       std::size_t packed_blocks) {
  ASSERT_OK_AND_ASSIGN(const Question question, method.Begin(facts));
  const std::map<BatchId, Summary> packed = ThroughAFile(by_batch);
  ASSERT_EQ(packed.size(), by_batch.size());
  std::size_t found = 0;
  for (std::size_t k = 0; k < question.form.size(); ++k) found += packed.begin()->second.IsPacked(k) ? 1 : 0;
  EXPECT_EQ(found, packed_blocks);

  ASSERT_OK_AND_ASSIGN(const Answers sums, AddUp(question.form, facts.release, by_batch));
  ASSERT_OK_AND_ASSIGN(const Answers sums_of_packed, AddUp(question.form, facts.release, packed, 2));
  EXPECT_TRUE(SameBytes(sums.pooled, sums_of_packed.pooled));
  ASSERT_OK_AND_ASSIGN(const auto outcome, method.Next(facts, question, sums));
  ASSERT_OK_AND_ASSIGN(const auto of_packed, method.Next(facts, question, sums_of_packed));
  ASSERT_EQ(outcome.index(), of_packed.index());
  if (const auto* next = std::get_if<Question>(&outcome)) {
    EXPECT_TRUE(SameBytes(next->body, std::get<Question>(of_packed).body));
    return;
  }
  const Correction& correction = std::get<Correction>(outcome);
  EXPECT_TRUE(SameBytes(correction.common, std::get<Correction>(of_packed).common));
  EXPECT_TRUE(SameBytes(correction.by_batch, std::get<Correction>(of_packed).by_batch));
  EXPECT_TRUE(SameBytes(correction.evidence, std::get<Correction>(of_packed).evidence));
  EXPECT_EQ(correction.batch_notes, std::get<Correction>(of_packed).batch_notes);
  for (const auto& [batch, own] : packed) {
    ASSERT_OK_AND_ASSIGN(const BatchModel model, method.Fit(facts, correction, batch, by_batch.at(batch)));
    ASSERT_OK_AND_ASSIGN(const BatchModel model_of_packed, method.Fit(facts, correction, batch, own));
    EXPECT_TRUE(SameBytes(model.parameters, model_of_packed.parameters));
    EXPECT_EQ(model.notes, model_of_packed.notes);
  }
}

TEST(Packed, EveryMethodReadsFlagsThatAreBits) {
  for (const Variant& variant : AllVariants()) {
    for (const Release release : kReleases) {
      SCOPED_TRACE(variant.name + (release == Release::kPooled ? ", pooled" : ", per_batch"));
      SyntheticStudy study = MakeSynthetic({.seed = 31, .features = 20, .missing_rate = variant.missing ? 0.04 : 0});
      study.facts.release = release;
      study.facts.options = variant.options;
      for (Row& row : study.rows) {
        if (row.batch == study.facts.batches[1]) row.values[3] = 5;  // constant in that batch
      }
      ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(*variant.method, study.facts, study.rows));
      std::size_t flags = variant.missing ? 2 : 1;
      for (const BlockSpec& spec : by_batch.begin()->second.form()) flags += spec.name == "reference.constant" ? 1 : 0;
      for (const BlockSpec& spec : by_batch.begin()->second.form()) flags += spec.name == "reference.empty" ? 1 : 0;
      for (const BlockSpec& spec : by_batch.begin()->second.form()) flags += spec.name == "reference.count" ? 1 : 0;
      ExpectSameOutcome(*variant.method, study.facts, by_batch, flags);
    }
  }
}

// A batch of one person has only 0 and 1 to count.
TEST(Packed, CountsOfOnePersonAreBitsToo) {
  SyntheticStudy study = MakeSynthetic({.seed = 32, .features = 20, .missing_rate = 0.04});
  v1::CombatOptions options;
  options.set_missing(v1::MISSING_VALUES_ALLOW);
  options.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
  study.facts.options = options.SerializeAsString();
  bool kept = false;
  std::erase_if(study.rows, [&](const Row& row) { return row.batch == study.facts.batches[0] && std::exchange(kept, true); });
  for (Row& row : study.rows) {
    if (row.batch != study.facts.batches[0]) continue;
    for (std::size_t f = 0; f < row.values.size(); ++f) row.values[f] = f == 7 ? std::nan("") : 100.5;
  }
  ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(*FindMethod("combat/1"), study.facts, study.rows));
  ExpectSameOutcome(*FindMethod("combat/1"), study.facts, by_batch, 3);
}

TEST(Packed, AnswerOfImages_AtMostTwoPercentMoreThanItsSums) {
  constexpr std::size_t kVoxels = 100'000;
  StudyFacts facts;
  facts.features = FeatureNames::Voxels(kVoxels);
  facts.batches = {"A/1"};
  for (std::size_t p = 0; p < 5; ++p) {
    ASSERT_OK_AND_ASSIGN(const Question question, FindMethod("combat/1")->Begin(facts));
    Summary answer = Summary::Zero(question.form);
    answer.Mutable("constant")(0, 17) = 1;
    answer.Mutable("y_sum").setConstant(1.25);
    const TempFolder folder;
    ASSERT_OK(WriteAnswer(folder / "answer", {Sha256Hex("m"), 1, Sha256Hex("q")}, {{"A/1", answer}}));
    ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenPackedAnswer(folder / "answer", {"", 0, ""}, BundleValues::kChecked));
    const std::size_t header = (16 + bundle.header.ByteSizeLong() + 63) / 64 * 64;
    const std::size_t bytes = std::filesystem::file_size(folder / "answer");
    EXPECT_EQ(bytes, header + 8 * (1 + p + p * p + kVoxels * (p + 2) + (kVoxels + 63) / 64));
    EXPECT_LE(static_cast<double>(bytes), 1.02 * 8 * kVoxels * static_cast<double>(p + 2));
    facts.covariates.push_back({.name = "x" + std::to_string(p), .unit = "", .levels = {}});
  }
}

}  // namespace
}  // namespace attune::testing

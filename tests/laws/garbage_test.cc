// SPDX-License-Identifier: Apache-2.0
//
// Questions, answers and corrections from a peer that is broken or hostile: an error, never a crash.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <variant>

#include "common/evidence/summary.h"
#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

using ::testing::_;
using ::testing::AnyOf;
using ::testing::Eq;

double RandomValue(Dice& dice) {
  switch (dice.Below(8)) {
    case 0:
      return std::nan("");
    case 1:
      return -std::numeric_limits<double>::infinity();
    case 2:
      return 1e300 * dice.Normal();
    case 3:
      return 0;
    case 4:
      return -1;
    case 5:
      return 1e-300;
    default:
      return 100 * dice.Normal();
  }
}

void Corrupt(Dice& dice, Blocks& blocks) {
  if (blocks.values().empty()) return;
  for (std::size_t change = 1 + dice.Below(4); change > 0; --change) {
    const BlockSpec spec = blocks.form()[dice.Below(blocks.form().size())];
    if (spec.rows * spec.cols == 0) continue;
    blocks.Mutable(spec.name)(static_cast<Eigen::Index>(dice.Below(static_cast<std::size_t>(spec.rows))),
                              static_cast<Eigen::Index>(dice.Below(static_cast<std::size_t>(spec.cols)))) = RandomValue(dice);
  }
}

Form RandomForm(Dice& dice, Form form) {
  switch (form.empty() ? 3 : dice.Below(6)) {
    case 0:
      form.pop_back();
      break;
    case 1:
      form[dice.Below(form.size())].name += "?";
      break;
    case 2:
      form[dice.Below(form.size())].rows += 1 + static_cast<Eigen::Index>(dice.Below(3));
      break;
    case 3:
      form.push_back({"extra", BlockKind::kSum, static_cast<Eigen::Index>(dice.Below(4)), 2});
      break;
    case 4:
      form[dice.Below(form.size())].resolution_log2 -= 1;
      break;
    default:
      form.clear();
  }
  return form;
}

Blocks RandomBlocks(Dice& dice, const Form& form) {
  Blocks blocks = Blocks::Zero(form);
  for (const BlockSpec& spec : form) {
    auto block = blocks.Mutable(spec.name);
    for (Eigen::Index i = 0; i < block.size(); ++i) block.data()[i] = RandomValue(dice);
  }
  return blocks;
}

SyntheticStudy StudyOf(const Variant& variant, Release release) {
  SyntheticStudy study = MakeSynthetic({.seed = 12, .missing_rate = variant.missing ? 0.05 : 0});
  study.facts.options = variant.options;
  study.facts.release = release;
  return study;
}

// Calls body(variant, study, question, by_batch, states) for each question that the method asks.
template <typename Body>
void ForEachQuestion(Body body) {
  for (const Variant& variant : AllVariants()) {
    for (const Release release : kReleases) {
      SCOPED_TRACE(variant.name + (release == Release::kPooled ? ", pooled" : ", per_batch"));
      const SyntheticStudy study = StudyOf(variant, release);
      std::map<BatchId, SiteState> states;
      ASSERT_OK_AND_ASSIGN(Question question, variant.method->Begin(study.facts));
      for (;;) {
        ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerQuestion(*variant.method, study.facts, question, study.facts.batches,
                                                                 MemoryCohort(study.rows), states, 1));
        body(variant, study, question, by_batch, states);
        for (const auto& [batch, summary] : by_batch) states[batch].earlier.push_back(summary);
        ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(question.form, release, by_batch));
        ASSERT_OK_AND_ASSIGN(auto outcome, variant.method->Next(study.facts, question, answers));
        if (std::holds_alternative<Correction>(outcome)) break;
        question = std::get<Question>(std::move(outcome));
      }
    }
  }
}

TEST(Garbage, Questions_InvalidArgument) {
  Dice dice(20);
  ForEachQuestion([&](const Variant& variant, const SyntheticStudy& study, const Question& question,
                      const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, SiteState>& states) {
    const BatchId& batch = study.facts.batches[0];
    const SiteState state = states.count(batch) > 0 ? states.at(batch) : SiteState();
    ASSERT_OK_AND_ASSIGN(const Answers answers, AddUp(question.form, study.facts.release, by_batch));
    for (int trial = 0; trial < 60; ++trial) {
      Question bad = question;
      switch (dice.Below(3)) {
        case 0:
          bad.form = RandomForm(dice, question.form);
          break;
        case 1:
          bad.round = static_cast<std::uint32_t>(question.round + 1 + dice.Below(1000));
          break;
        default:
          bad.body = RandomBlocks(dice, RandomForm(dice, question.body.form()));
      }
      if (bad.form == question.form && bad.round == question.round && bad.body.form() == question.body.form()) continue;
      EXPECT_THAT(variant.method->Answer(study.facts, bad, batch, state, {}), StatusIs(absl::StatusCode::kInvalidArgument, _));
      EXPECT_THAT(variant.method->Next(study.facts, bad, answers), StatusIs(absl::StatusCode::kInvalidArgument, _));
    }
  });
}

TEST(Garbage, BodiesOfTheRightForm_ErrorOrFiniteAnswer) {
  Dice dice(21);
  ForEachQuestion([&](const Variant& variant, const SyntheticStudy& study, const Question& question,
                      const std::map<BatchId, Summary>&, const std::map<BatchId, SiteState>& states) {
    if (question.body.form().empty()) return;
    for (int trial = 0; trial < 40; ++trial) {
      Question bad = question;
      if (trial % 2 == 0) {
        bad.body = RandomBlocks(dice, question.body.form());
      } else {
        Corrupt(dice, bad.body);
      }
      const BatchId& batch = study.facts.batches[dice.Below(study.facts.batches.size())];
      auto accumulator = variant.method->Answer(study.facts, bad, batch, states.at(batch), {});
      if (!accumulator.ok()) {
        EXPECT_THAT(accumulator, StatusIs(absl::StatusCode::kInvalidArgument, _));
        continue;
      }
      const absl::StatusOr<Summary> answer = std::move(**accumulator).Finish();
      if (answer.ok()) {
        EXPECT_EQ(answer->form(), bad.form);
        EXPECT_OK(answer->CheckFinite());
      } else {
        EXPECT_THAT(answer.status().code(), AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition));
      }
    }
  });
}

TEST(Garbage, RoundTwoWithoutRoundOne_InvalidArgument) {
  ForEachQuestion([&](const Variant& variant, const SyntheticStudy& study, const Question& question,
                      const std::map<BatchId, Summary>&, const std::map<BatchId, SiteState>&) {
    if (question.round == 1) return;
    SiteState other;
    other.earlier.push_back(Summary::Zero({{"other", BlockKind::kSum, 1, 1}}));
    for (const SiteState& state : {SiteState(), other}) {
      EXPECT_THAT(variant.method->Answer(study.facts, question, study.facts.batches[0], state, {}),
                  StatusIs(absl::StatusCode::kInvalidArgument, _));
    }
  });
}

TEST(Garbage, Answers_ErrorNeverCrash) {
  Dice dice(22);
  ForEachQuestion([&](const Variant& variant, const SyntheticStudy& study, const Question& question,
                      const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, SiteState>&) {
    ASSERT_OK_AND_ASSIGN(const Answers good, AddUp(question.form, study.facts.release, by_batch));
    for (int trial = 0; trial < 60; ++trial) {
      Answers bad = good;
      const std::size_t kind = dice.Below(4);
      const auto any_batch = [&] {
        return std::next(bad.by_batch.begin(), static_cast<std::ptrdiff_t>(dice.Below(bad.by_batch.size())));
      };
      if (kind == 0) {
        bad.pooled = RandomBlocks(dice, RandomForm(dice, question.form));
        if (bad.pooled.form() == question.form) continue;
      } else if (kind == 1) {
        Corrupt(dice, bad.pooled);
      } else if (bad.by_batch.empty()) {
        continue;
      } else if (kind == 2) {
        Corrupt(dice, any_batch()->second);
      } else {
        any_batch()->second = RandomBlocks(dice, trial % 2 == 0 ? question.form : RandomForm(dice, question.form));
      }
      const auto outcome = variant.method->Next(study.facts, question, bad);
      if (kind == 0) {
        EXPECT_THAT(outcome, StatusIs(absl::StatusCode::kInvalidArgument, _));
      }
      if (!outcome.ok()) {
        EXPECT_THAT(outcome.status().code(), AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition))
            << outcome.status();
      } else if (const auto* correction = std::get_if<Correction>(&*outcome)) {
        EXPECT_OK(correction->common.CheckFinite());
        for (const auto& [batch, blocks] : correction->by_batch) EXPECT_OK(blocks.CheckFinite());
        EXPECT_OK(correction->evidence.CheckFinite());
        EXPECT_OK(Summarize(correction->evidence, study.facts));
      } else {
        EXPECT_OK(std::get<Question>(*outcome).body.CheckFinite());
      }
    }
  });
}

TEST(Garbage, BatchesThatDoNotMatchTheStudy_InvalidArgument) {
  ForEachQuestion([&](const Variant& variant, const SyntheticStudy& study, const Question& question,
                      const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, SiteState>&) {
    ASSERT_OK_AND_ASSIGN(const Answers good, AddUp(question.form, study.facts.release, by_batch));
    std::vector<Answers> all;
    if (study.facts.release == Release::kPooled) {
      all.assign(1, good);
      all[0].by_batch = by_batch;  // what the coordinator must not have
    } else {
      all.assign(3, good);
      all[0].by_batch.clear();
      all[1].by_batch.erase(all[1].by_batch.begin());
      all[2].by_batch["elsewhere/all"] = Summary::Zero(question.form);
    }
    for (const Answers& bad : all) {
      EXPECT_THAT(variant.method->Next(study.facts, question, bad), StatusIs(absl::StatusCode::kInvalidArgument, _));
    }
  });
}

TEST(Garbage, Corrections_ErrorNeverCrash) {
  Dice dice(23);
  for (const Variant& variant : AllVariants()) {
    for (const Release release : kReleases) {
      SCOPED_TRACE(variant.name);
      const SyntheticStudy study = StudyOf(variant, release);
      ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(*variant.method, study.facts, study.rows));
      ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(*variant.method, study.facts, study.rows));
      for (int trial = 0; trial < 60; ++trial) {
        const BatchId& batch = study.facts.batches[dice.Below(study.facts.batches.size())];
        Correction bad = result.correction;
        Summary own = by_batch.at(batch);
        const std::size_t kind = dice.Below(4);
        if (kind == 0) {
          bad.common = RandomBlocks(dice, RandomForm(dice, bad.common.form()));
          if (bad.common.form() == result.correction.common.form()) continue;
        } else if (kind == 1) {
          Corrupt(dice, bad.common);
        } else if (kind == 2) {
          own = RandomBlocks(dice, RandomForm(dice, own.form()));
          if (own.form() == by_batch.at(batch).form()) continue;
        } else {
          Corrupt(dice, own);
        }
        const auto model = variant.method->Fit(study.facts, bad, batch, own);
        if (kind == 0 || kind == 2) {
          EXPECT_THAT(model, StatusIs(absl::StatusCode::kInvalidArgument, _));
        }
        if (!model.ok()) {
          EXPECT_THAT(model.status().code(), AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition,
                                                   absl::StatusCode::kDataLoss))
              << model.status();
          continue;
        }
        std::vector<double> out(study.facts.features.size());
        EXPECT_OK(model->parameters.CheckFinite());
        const absl::Status applied = variant.method->Apply(*model, AsSubject(study.rows[0]), out);
        if (!applied.ok()) {
          EXPECT_THAT(applied, StatusIs(absl::StatusCode::kInvalidArgument, _));
        }
      }
    }
  }
}

TEST(Garbage, UnreadableOptions_InvalidArgumentEverywhere) {
  for (const Method* method : AllMethods()) {
    SyntheticStudy study = MakeSynthetic({});
    ASSERT_OK_AND_ASSIGN(const Question question, method->Begin(study.facts));
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(*method, study.facts, study.rows));
    const Answers answers{Summary::Zero(question.form), {}};
    study.facts.options = "\xff\xff\xff";
    EXPECT_THAT(method->Begin(study.facts), StatusIs(absl::StatusCode::kInvalidArgument, _));
    EXPECT_THAT(method->Next(study.facts, question, answers), StatusIs(absl::StatusCode::kInvalidArgument, _));
    EXPECT_THAT(method->Answer(study.facts, question, study.facts.batches[0], {}, {}),
                StatusIs(absl::StatusCode::kInvalidArgument, _));
    EXPECT_THAT(method->Fit(study.facts, result.correction, study.facts.batches[0], answers.pooled),
                StatusIs(absl::StatusCode::kInvalidArgument, _));
  }
}

TEST(Garbage, Subjects_InvalidArgumentAndNothingChanges) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    const SyntheticStudy study = StudyOf(variant, Release::kPerBatch);
    ASSERT_OK_AND_ASSIGN(const Question question, variant.method->Begin(study.facts));
    const BatchId& batch = study.facts.batches[0];
    ASSERT_OK_AND_ASSIGN(auto accumulator, variant.method->Answer(study.facts, question, batch, {}, {}));
    for (const Row& row : study.rows) {
      if (row.batch != batch) continue;
      std::vector<Row> bad(4, row);
      bad[0].values.pop_back();
      bad[1].covariates.push_back(1);
      bad[2].values[3] = std::numeric_limits<double>::infinity();
      bad[3].covariates[0] = std::nan("");
      if (!variant.missing) {
        bad.push_back(row);
        bad.back().values[0] = std::nan("");
      }
      for (const Row& b : bad) EXPECT_THAT(accumulator->Add(AsSubject(b)), StatusIs(absl::StatusCode::kInvalidArgument, _));
      ASSERT_OK(accumulator->Add(AsSubject(row)));
    }
    ASSERT_OK_AND_ASSIGN(const Summary after_garbage, std::move(*accumulator).Finish());
    ASSERT_OK_AND_ASSIGN(const auto clean, AnswerFirst(*variant.method, study.facts, study.rows));
    EXPECT_TRUE(SameBytes(after_garbage, clean.at(batch)));
  }
}

}  // namespace
}  // namespace attune::testing

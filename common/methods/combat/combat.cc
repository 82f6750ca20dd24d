// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/combat.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/evidence_round.h"
#include "common/methods/combat/form.h"
#include "common/methods/combat/pooled_model.h"

namespace attune {
namespace {

using combat::Setup;
using Eigen::Index;

// How far a correction may be from the site's own fit: another CPU family moves the last bits, nothing else does.
constexpr double kFitTolerance = 1e-9;

// One pass without branches, for nearly always nothing is wrong: y - y is 0 for every finite y. Several sums, since each
// addition waits for the one before.
bool AllFinite(std::span<const double> values) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += values[i + k] - values[i + k];
  }
  for (; i < values.size(); ++i) sums[0] += values[i] - values[i];
  return std::all_of(sums, sums + kSums, [](double sum) { return sum == 0; });
}

// The same on several threads, where there are many values.
bool AllFinite(std::span<const double> values, int threads) {
  constexpr std::size_t kPart = std::size_t{1} << 17;
  std::atomic<bool> finite{true};
  ParallelFor((values.size() + kPart - 1) / kPart, threads, [&](std::size_t part) {
    if (!AllFinite(values.subspan(part * kPart, std::min(kPart, values.size() - part * kPart)))) finite = false;
  });
  return finite;
}

// Collects the moments of round 1.
class RoundOneAccumulator : public Accumulator {
 public:
  RoundOneAccumulator(Setup setup, Form form, bool is_reference, const AnswerOptions& options)
      : setup_(std::move(setup)),
        form_(std::move(form)),
        is_reference_(is_reference),
        threads_(options.threads),
        tree_(setup_.p, setup_.features, setup_.missing, options.first_subject, options.threads) {}

  absl::Status Add(const Subject& subject) override {
    if (static_cast<Index>(subject.covariates.size()) != setup_.p ||
        static_cast<Index>(subject.values.size()) != setup_.features) {
      return absl::InvalidArgumentError(absl::StrCat("a subject has ", subject.covariates.size(), " covariates and ",
                                                     subject.values.size(), " features, expected ", setup_.p, " and ",
                                                     setup_.features));
    }
    for (const double x : subject.covariates) {
      if (!std::isfinite(x)) return absl::InvalidArgumentError("a covariate is not finite");
    }
    for (const double y : AllFinite(subject.values, threads_) ? std::span<const double>() : subject.values) {
      if (std::isfinite(y) || (setup_.missing && std::isnan(y))) continue;
      return absl::InvalidArgumentError(std::isnan(y) ? "a feature is missing, and the study does not allow it (missing: allow)"
                                                      : "a feature is infinite");
    }
    tree_.Add(subject.covariates, subject.values);
    ++subjects_;
    return absl::OkStatus();
  }

  absl::Status Merge(Accumulator&& later) override {
    auto* other = dynamic_cast<RoundOneAccumulator*>(&later);
    if (other == nullptr || other->form_ != form_) return absl::InvalidArgumentError("accumulators of different questions");
    subjects_ += other->subjects_;
    tree_.Merge(std::move(other->tree_));
    return absl::OkStatus();
  }

  absl::StatusOr<Summary> Finish() && override {
    if (subjects_ == 0) return absl::FailedPreconditionError("there is no subject to estimate on");
    ATTUNE_RETURN_IF_ERROR(combat::CheckBatchSize(setup_, static_cast<double>(subjects_)));
    return combat::FillRoundOne(form_, setup_, std::move(tree_), is_reference_);
  }

 private:
  Setup setup_;
  Form form_;
  bool is_reference_;
  int threads_;
  MomentTree tree_;
  std::int64_t subjects_ = 0;
};

// Round 2 under pooled: follows from what the site has.
class EvidenceAccumulator : public Accumulator {
 public:
  EvidenceAccumulator(StudyFacts facts, Setup setup, Question question, BatchId batch, Summary own, int threads)
      : facts_(std::move(facts)),
        setup_(std::move(setup)),
        question_(std::move(question)),
        batch_(std::move(batch)),
        own_(std::move(own)),
        threads_(threads) {}

  bool NeedsSubjects() const override { return false; }
  absl::Status Add(const Subject&) override { return absl::OkStatus(); }
  absl::Status Merge(Accumulator&& later) override {
    if (dynamic_cast<EvidenceAccumulator*>(&later) == nullptr) {
      return absl::InvalidArgumentError("accumulators of different questions");
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Summary> Finish() && override {
    return combat::AnswerEvidence(facts_, setup_, question_, batch_, own_, threads_);
  }

 private:
  StudyFacts facts_;
  Setup setup_;
  Question question_;
  BatchId batch_;
  Summary own_;
  int threads_;
};

// Whether the coordinator's values for a batch are those of the site's own fit.
bool Agrees(const Blocks& given, const Blocks& own) {
  for (const BlockSpec& spec : given.form()) {
    const auto theirs = given[spec.name];
    const auto ours = own[spec.name];
    for (Index f = 0; f < theirs.cols(); ++f) {
      if (!(std::abs(theirs(0, f) - ours(0, f)) <= kFitTolerance * std::max(1.0, std::abs(ours(0, f))))) return false;
    }
  }
  return true;
}

class Combat : public Method {
 public:
  const MethodInfo& info() const override {
    static const MethodInfo& info = *new MethodInfo{
        .id = "combat/1",
        .summary = "ComBat: location and scale of each batch and feature, shrunk by empirical Bayes, given covariates",
        .reference = "Johnson, Li & Rabinovic, Biostatistics 8:118-127 (2007); Fortin et al., NeuroImage 167:104-120 (2018)",
        .question =
            "round 1: nothing beyond the study itself; round 2 (pooled only): the pooled parameters, finite, with sigma > 0",
    };
    return info;
  }

  absl::StatusOr<Question> Begin(const StudyFacts& facts) const override {
    ATTUNE_ASSIGN_OR_RETURN(const Setup setup, combat::SetupOf(facts));
    return Question{1, combat::RoundOneForm(facts, setup), Blocks()};
  }

  absl::StatusOr<std::variant<Question, Correction>> Next(const StudyFacts& facts, const Question& question,
                                                          const Answers& answers, int threads) const override {
    ATTUNE_ASSIGN_OR_RETURN(const Setup setup, combat::SetupOf(facts));
    ATTUNE_RETURN_IF_ERROR(CheckQuestion(facts, setup, question));
    if (answers.pooled.form() != question.form) {
      return absl::InvalidArgumentError(
          absl::StrCat("the answers' form: ", DescribeDifference(question.form, answers.pooled.form())));
    }
    ATTUNE_RETURN_IF_ERROR(answers.pooled.CheckFinite());
    ATTUNE_RETURN_IF_ERROR(CheckBatches(facts, setup, question, answers.by_batch));
    Correction correction;
    if (question.round == 2) {
      correction.common = combat::CommonOf(setup, question);
      ATTUNE_ASSIGN_OR_RETURN(correction.evidence, combat::EvidencePooled(facts, setup, question, answers.pooled));
      correction.notes = Notes(facts, setup, correction.common);
      return correction;
    }
    ATTUNE_ASSIGN_OR_RETURN(correction.common, combat::FitPooledModel(facts, setup, answers.pooled, answers.by_batch, threads));
    if (!combat::CheckPooledModel(correction.common).ok()) {
      return absl::FailedPreconditionError(
          "the pooled parameters are too large to compute with; look for extreme values among the features and covariates");
    }
    if (facts.release == Release::kPooled) return combat::EvidenceQuestion(setup, correction.common, answers.pooled);
    correction.notes = Notes(facts, setup, correction.common);
    answers.pooled.Evict();
    for (const auto& [batch, summary] : answers.by_batch) {
      ATTUNE_ASSIGN_OR_RETURN(BatchModel part, combat::FitCorrection(facts, setup, correction.common, batch, summary, threads));
      summary.Evict();
      Blocks& own = correction.by_batch[batch] = std::move(part.parameters);
      own.Evict();  // never those of all batches in memory
      for (const std::string& note : part.notes) correction.batch_notes.push_back(absl::StrCat(batch, ": ", note));
    }
    correction.evidence = combat::EvidencePerBatch(facts, setup, correction.common, answers.pooled, answers.by_batch,
                                                   correction.by_batch, threads);
    return correction;
  }

  absl::StatusOr<std::unique_ptr<Accumulator>> Answer(const StudyFacts& facts, const Question& question, const BatchId& batch,
                                                      const SiteState& state, const AnswerOptions& options) const override {
    ATTUNE_ASSIGN_OR_RETURN(Setup setup, combat::SetupOf(facts));
    ATTUNE_RETURN_IF_ERROR(CheckQuestion(facts, setup, question));
    if (question.round == 1) {
      const bool is_reference = batch == setup.reference;
      return std::make_unique<RoundOneAccumulator>(std::move(setup), question.form, is_reference, options);
    }
    if (state.earlier.empty() || state.earlier.front().form() != combat::RoundOneForm(facts, setup)) {
      return absl::InvalidArgumentError(
          absl::StrCat("batch '", batch, "' has no filled form of round 1 to answer round 2 from"));
    }
    return std::make_unique<EvidenceAccumulator>(facts, std::move(setup), question, batch, state.earlier.front(),
                                                 options.threads);
  }

  absl::StatusOr<BatchModel> Fit(const StudyFacts& facts, const Correction& correction, const BatchId& batch,
                                 const Summary& own, int threads) const override {
    ATTUNE_ASSIGN_OR_RETURN(const Setup setup, combat::SetupOf(facts));
    if (const Form form = combat::PooledModelForm(setup); correction.common.form() != form) {
      return absl::InvalidArgumentError(absl::StrCat("the correction: ", DescribeDifference(form, correction.common.form())));
    }
    if (const Form form = combat::RoundOneForm(facts, setup); own.form() != form) {
      return absl::InvalidArgumentError(absl::StrCat("this batch's own form: ", DescribeDifference(form, own.form())));
    }
    if (absl::Status checked = combat::CheckPooledModel(correction.common); !checked.ok())
      return WithContext(checked, "the correction");
    ATTUNE_ASSIGN_OR_RETURN(BatchModel model, combat::FitBatch(facts, setup, correction.common, batch, own, threads));
    const auto given = correction.by_batch.find(batch);
    if (given != correction.by_batch.end()) {
      if (given->second.form() != combat::CorrectionForm(setup) || !Agrees(given->second, model.parameters)) {
        return absl::DataLossError(
            absl::StrCat("the correction received for batch '", batch,
                         "' is not the one that follows from this site's own answer; nothing was changed. Ask "
                         "the coordinator to verify the study's journal"));
      }
    } else if (facts.release == Release::kPerBatch) {
      return absl::InvalidArgumentError(absl::StrCat("the correction does not hold batch '", batch, "'"));
    }
    return model;
  }

  absl::Status Apply(const BatchModel& model, const Subject& subject, std::span<double> out) const override {
    return combat::ApplyModel(model.parameters, subject, out);
  }

 private:
  static absl::Status CheckQuestion(const StudyFacts& facts, const Setup& setup, const Question& question) {
    if (question.round == 2 && facts.release == Release::kPooled) return combat::CheckEvidenceQuestion(setup, question);
    if (question.round != 1) {
      return absl::InvalidArgumentError(absl::StrCat("combat/1 has no round ", question.round, " in this study"));
    }
    if (!question.body.form().empty())
      return absl::InvalidArgumentError("round 1 of combat/1 asks nothing beyond the study itself");
    if (const Form form = combat::RoundOneForm(facts, setup); question.form != form) {
      return absl::InvalidArgumentError(absl::StrCat("the form of round 1: ", DescribeDifference(form, question.form)));
    }
    return absl::OkStatus();
  }

  // Under per_batch every batch of the study has answered, and no other; under pooled nobody's single answer is here.
  static absl::Status CheckBatches(const StudyFacts& facts, const Setup& setup, const Question& question,
                                   const std::map<BatchId, Summary>& by_batch) {
    const std::size_t expected = facts.release == Release::kPerBatch ? facts.batches.size() : 0;
    if (by_batch.size() != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("there are single answers of ", by_batch.size(), " batches, expected ", expected));
    }
    for (const auto& [batch, summary] : by_batch) {
      if (std::find(facts.batches.begin(), facts.batches.end(), batch) == facts.batches.end()) {
        return absl::InvalidArgumentError(absl::StrCat("batch '", batch, "' has answered, but is not one of the study's"));
      }
      if (summary.form() != question.form) {
        return absl::InvalidArgumentError(
            absl::StrCat("batch '", batch, "': ", DescribeDifference(question.form, summary.form())));
      }
      ATTUNE_RETURN_IF_ERROR(WithContext(combat::CheckFilledRoundOne(setup, summary), absl::StrCat("batch '", batch, "'")));
      summary.Evict();
    }
    return absl::OkStatus();
  }

  static std::vector<std::string> Notes(const StudyFacts& facts, const Setup& setup, const Blocks& common) {
    std::vector<std::string> notes = combat::NotesOnFeatures(facts, common);
    Index usable = 0;
    const auto status = common["status"];
    for (Index f = 0; f < setup.features; ++f) usable += combat::IsAdjusted(status(0, f)) ? 1 : 0;
    if (usable < combat::kFewestFeaturesForPrior && setup.options.prior() != v1::PRIOR_NONE) {
      notes.push_back(absl::StrCat("no empirical Bayes: it needs at least ", combat::kFewestFeaturesForPrior,
                                   " usable features, and there are ", usable));
    }
    return notes;
  }
};

}  // namespace

const Method& CombatMethod() {
  static const Combat& method = *new Combat;
  return method;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_FAKE_METHOD_H_
#define ATTUNE_TESTS_SUPPORT_FAKE_METHOD_H_

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/kernel/method.h"

namespace attune::testing {

// A method of two rounds that moves every batch to the pooled mean. Round 1: n and the sum of values; round 2, given the pooled
// mean: the same and the sum of squares about it. Refuses studies with a feature named "forbidden" (Begin, InvalidArgument) and
// fewer than `least` subjects in all (Next after round 1, FailedPrecondition).
class FakeMethod : public Method {
 public:
  explicit FakeMethod(double least = 2) : least_(least) {
    info_ = {.id = "combat/1", .summary = "moves batches to the pooled mean", .reference = "none", .question = "pooled mean"};
  }

  const MethodInfo& info() const override { return info_; }

  absl::StatusOr<Question> Begin(const StudyFacts& facts) const override {
    if (std::count(facts.features.names().begin(), facts.features.names().end(), "forbidden") > 0) {
      return absl::InvalidArgumentError("the feature 'forbidden' is not for this method");
    }
    return Question{.round = 1, .form = FormOf(facts, 1), .body = {}};
  }

  absl::StatusOr<std::variant<Question, Correction>> Next(const StudyFacts& facts, const Question& question,
                                                          const Answers& answers, int) const override {
    const double n = answers.pooled["n"](0, 0);
    if (question.round == 1) {
      if (n < least_) return absl::FailedPreconditionError(absl::StrCat("fewer than ", least_, " subjects in all"));
      Question next{.round = 2, .form = FormOf(facts, 2), .body = Blocks::Zero({MeanSpec(facts)})};
      next.body.Mutable("mean") = answers.pooled["sum"] / n;
      return next;
    }
    Correction correction;
    correction.common = Blocks::Zero({MeanSpec(facts)});
    correction.common.Mutable("mean") = question.body["mean"];
    for (const auto& [batch, summary] : answers.by_batch) {
      Blocks& own = correction.by_batch[batch] = Blocks::Zero({MeanSpec(facts)});
      own.Mutable("mean") = summary["sum"] / summary["n"](0, 0);
    }
    correction.evidence = Blocks::Zero({{.name = "squares", .rows = 1, .cols = Columns(facts)}});
    correction.evidence.Mutable("squares") = answers.pooled["squares"];
    correction.notes = {"means only"};
    return correction;
  }

  absl::StatusOr<std::unique_ptr<Accumulator>> Answer(const StudyFacts& facts, const Question& question, const BatchId&,
                                                      const SiteState&, const AnswerOptions&) const override {
    if (question.form != FormOf(facts, question.round)) return absl::InvalidArgumentError("not a question of this method");
    return std::make_unique<Sums>(question);
  }

  absl::StatusOr<BatchModel> Fit(const StudyFacts& facts, const Correction& correction, const BatchId& batch,
                                 const Summary& own, int) const override {
    BatchModel model{batch, Blocks::Zero({{.name = "shift", .rows = 1, .cols = Columns(facts)}}), {}};
    model.parameters.Mutable("shift") = correction.common["mean"] - own["sum"] / own["n"](0, 0);
    return model;
  }

  absl::Status Apply(const BatchModel& model, const Subject& subject, std::span<double> out) const override {
    for (std::size_t v = 0; v < out.size(); ++v) {
      out[v] = subject.values[v] + model.parameters["shift"](0, static_cast<Eigen::Index>(v));
    }
    return absl::OkStatus();
  }

 private:
  class Sums : public Accumulator {
   public:
    explicit Sums(const Question& question) : question_(question), sums_(Blocks::Zero(question.form)) {}
    absl::Status Add(const Subject& subject) override {
      sums_.Mutable("n")(0, 0) += 1;
      for (std::size_t v = 0; v < subject.values.size(); ++v) {
        const auto column = static_cast<Eigen::Index>(v);
        sums_.Mutable("sum")(0, column) += subject.values[v];
        if (question_.round == 1) continue;
        const double deviation = subject.values[v] - question_.body["mean"](0, column);
        sums_.Mutable("squares")(0, column) += deviation * deviation;
      }
      return absl::OkStatus();
    }
    absl::Status Merge(Accumulator&&) override { return absl::InvalidArgumentError("not mergeable"); }
    absl::StatusOr<Summary> Finish() && override { return std::move(sums_); }

   private:
    Question question_;
    Summary sums_;
  };

  static Eigen::Index Columns(const StudyFacts& facts) { return static_cast<Eigen::Index>(facts.features.size()); }
  static BlockSpec MeanSpec(const StudyFacts& facts) { return {.name = "mean", .rows = 1, .cols = Columns(facts)}; }
  static Form FormOf(const StudyFacts& facts, std::uint32_t round) {
    Form form = {{.name = "n", .kind = BlockKind::kCount, .rows = 1, .cols = 1},
                 {.name = "sum", .rows = 1, .cols = Columns(facts)}};
    if (round == 2) form.push_back({.name = "squares", .rows = 1, .cols = Columns(facts)});
    return form;
  }

  double least_;
  MethodInfo info_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_FAKE_METHOD_H_

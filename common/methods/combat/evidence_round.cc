// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/evidence_round.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/evidence/site_effect.h"
#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/pooled_model.h"

namespace attune::combat {
namespace {

using Eigen::Index;

// Features whose moments of all batches are in memory at once.
constexpr Index kTileFeatures = 2048;

// The sums of ScatterSums as blocks: the design's once, the features' per phase.
Form SumsForm(const Setup& setup) {
  const Index p = setup.p;
  const Index f = setup.features;
  const Index d = setup.missing ? f : 1;
  Form form = {{"batches", BlockKind::kCount, 1, 1},
               {"count", BlockKind::kCount, 1, d},
               {"x_shift", BlockKind::kSum, p, d},
               {"xx_within", BlockKind::kSum, p * p, d},
               {"xx_between", BlockKind::kSum, p * p, d}};
  for (const char* phase : kPhases) {
    form.push_back({absl::StrCat(phase, "y_shift"), BlockKind::kSum, 1, f});
    form.push_back({absl::StrCat(phase, "xy_within"), BlockKind::kSum, p, f});
    form.push_back({absl::StrCat(phase, "xy_between"), BlockKind::kSum, p, f});
    form.push_back({absl::StrCat(phase, "yy_within"), BlockKind::kSum, 1, f});
    form.push_back({absl::StrCat(phase, "yy_between"), BlockKind::kSum, 1, f});
  }
  return form;
}

void WriteSums(const std::string& phase, const ScatterSums& sums, Summary& out) {
  out.Mutable("count") = sums.count.matrix().transpose();
  out.Mutable("x_shift") = sums.x_shift.matrix();
  out.Mutable("xx_within") = sums.xx_within.matrix();
  out.Mutable("xx_between") = sums.xx_between.matrix();
  out.Mutable(phase + "y_shift") = sums.y_shift.matrix().transpose();
  out.Mutable(phase + "xy_within") = sums.xy_within.matrix();
  out.Mutable(phase + "xy_between") = sums.xy_between.matrix();
  out.Mutable(phase + "yy_within") = sums.yy_within.matrix().transpose();
  out.Mutable(phase + "yy_between") = sums.yy_between.matrix().transpose();
}

ScatterSums ReadSums(const Setup& setup, const std::string& phase, const Summary& pooled) {
  ScatterSums sums(setup.p, setup.features, setup.missing);
  sums.count = pooled["count"].transpose().array();
  sums.x_shift = pooled["x_shift"].array();
  sums.xx_within = pooled["xx_within"].array();
  sums.xx_between = pooled["xx_between"].array();
  sums.y_shift = pooled[phase + "y_shift"].transpose().array();
  sums.xy_within = pooled[phase + "xy_within"].array();
  sums.xy_between = pooled[phase + "xy_between"].array();
  sums.yy_within = pooled[phase + "yy_within"].transpose().array();
  sums.yy_between = pooled[phase + "yy_between"].transpose().array();
  return sums;
}

// The centre that keeps the sums of squares small: the pooled means. The covariates' are those of the first feature that is
// adjusted, for one that is set aside has none.
Eigen::ArrayXd YCentre(const Summary& pooled) { return pooled["y_sum"].transpose().array() / pooled["n"](0, 0); }
Eigen::ArrayXd XCentre(const Setup& setup, const Blocks& common, const Summary& pooled) {
  Index column = 0;
  for (Index f = 0; setup.missing && f < setup.features; ++f) {
    if (StatusOf(common, f) != FeatureStatus::kAdjusted) continue;
    column = f;
    break;
  }
  return pooled["x_sum"].col(column).array() / pooled["n"](0, 0);
}

Blocks EmptyEvidence(const StudyFacts& facts, const Setup& setup, const Blocks& common, bool scale_ratios, double batches) {
  Blocks evidence = Blocks::Zero(EvidenceForm(facts, scale_ratios));
  auto tested = evidence.Mutable("tested");
  for (Index f = 0; f < setup.features; ++f) tested(0, f) = StatusOf(common, f) == FeatureStatus::kAdjusted ? 1 : 0;
  evidence.Mutable("batches")(0, 0) = batches;
  evidence.Mutable("subjects")(0, 0) = common["n"](0, 0);
  return evidence;
}

void WriteCount(const ScatterSums& sums, Index first, Blocks& evidence) {
  auto count = evidence.Mutable("count");
  for (Index k = 0; k < sums.y_shift.size(); ++k) count(0, first + k) = sums.count[sums.count.size() == 1 ? 0 : k];
}

// What the batch's correction does to the features [first, first + count).
LocationScale CorrectionOf(const Setup& setup, const Blocks& common, const BatchId& batch, const Blocks& own, Index first,
                           Index count) {
  const auto row = [&](const Blocks& blocks, const char* name) -> Eigen::ArrayXd {
    return blocks[name].middleCols(first, count).transpose().array();
  };
  LocationScale correction{row(common, "alpha"), common["beta"].middleCols(first, count).array(),
                           row(common, "sigma"), row(own, "gamma"),
                           row(own, "delta2"),   Eigen::ArrayXd::Zero(count)};
  for (Index k = 0; k < count; ++k) {
    correction.adjusted[k] = StatusOf(common, first + k) == FeatureStatus::kAdjusted && batch != setup.reference ? 1 : 0;
  }
  return correction;
}

}  // namespace

Blocks EvidencePerBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const Summary& pooled,
                        const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, Blocks>& corrections) {
  const auto batches = static_cast<double>(by_batch.size());
  const Eigen::ArrayXd x_centre = XCentre(setup, common, pooled);
  const Eigen::ArrayXd y_centre = YCentre(pooled);
  Blocks evidence = EmptyEvidence(facts, setup, common, /*scale_ratios=*/true, batches);
  for (Index first = 0; first < setup.features; first += kTileFeatures) {
    const Index count = std::min(kTileFeatures, setup.features - first);
    std::vector<Moments> before;
    std::vector<Moments> after;
    for (const auto& [batch, summary] : by_batch) {
      before.push_back(MomentsOf(summary, setup, first, count));
      after.push_back(AfterCorrection(before.back(), CorrectionOf(setup, common, batch, corrections.at(batch), first, count)));
    }
    for (const char* phase : kPhases) {
      const std::vector<Moments>& moments = phase == kPhases[0] ? before : after;
      ScatterSums sums(setup.p, count, setup.missing);
      for (const Moments& batch : moments) sums.AddBatch(batch, x_centre, y_centre.segment(first, count));
      WriteCount(sums, first, evidence);
      WriteFigures(facts, phase, sums, batches, moments, first, evidence);
    }
  }
  return evidence;
}

Question EvidenceQuestion(const Setup& setup, const Blocks& common, const Summary& pooled) {
  Form body_form = PooledModelForm(setup);
  body_form.push_back({"x_centre", BlockKind::kSum, setup.p, 1});
  body_form.push_back({"y_centre", BlockKind::kSum, 1, setup.features});
  Question question{2, SumsForm(setup), Blocks::Zero(body_form)};
  for (const BlockSpec& spec : common.form()) question.body.Mutable(spec.name) = common[spec.name];
  question.body.Mutable("x_centre") = XCentre(setup, common, pooled).matrix();
  question.body.Mutable("y_centre") = YCentre(pooled).matrix().transpose();
  return question;
}

absl::Status CheckEvidenceQuestion(const Setup& setup, const Question& question) {
  Form body_form = PooledModelForm(setup);
  body_form.push_back({"x_centre", BlockKind::kSum, setup.p, 1});
  body_form.push_back({"y_centre", BlockKind::kSum, 1, setup.features});
  if (question.body.form() != body_form) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body of round 2's question: ", DescribeDifference(body_form, question.body.form())));
  }
  if (question.form != SumsForm(setup)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the form of round 2: ", DescribeDifference(SumsForm(setup), question.form)));
  }
  return WithContext(CheckPooledModel(question.body), "the body of round 2's question");
}

Blocks CommonOf(const Setup& setup, const Question& question) {
  Blocks common = Blocks::Zero(PooledModelForm(setup));
  for (const BlockSpec& spec : PooledModelForm(setup)) common.Mutable(spec.name) = question.body[spec.name];
  return common;
}

absl::StatusOr<Summary> AnswerEvidence(const StudyFacts& facts, const Setup& setup, const Question& question,
                                       const BatchId& batch, const Summary& own, int threads) {
  const Blocks common = CommonOf(setup, question);
  ATTUNE_ASSIGN_OR_RETURN(const BatchModel model, FitBatch(facts, setup, common, batch, own, threads));
  const Moments before = MomentsOf(own, setup, 0, setup.features);
  const Moments after = AfterCorrection(before, LocationScaleOf(model.parameters, 0, setup.features));
  Summary answer = Summary::Zero(question.form);
  answer.Mutable("batches")(0, 0) = 1;
  for (const char* phase : kPhases) {
    ScatterSums sums(setup.p, setup.features, setup.missing);
    sums.AddBatch(phase == kPhases[0] ? before : after, question.body["x_centre"].col(0).array(),
                  question.body["y_centre"].row(0).transpose().array());
    WriteSums(phase, sums, answer);
  }
  // What a feature that is left as it is adds is not asked for: its block of round 1 was zeroed where it is constant, but not
  // in the other batches.
  for (const char* phase : kPhases) {
    for (const char* name : {"y_shift", "xy_within", "xy_between", "yy_within", "yy_between"}) {
      auto block = answer.Mutable(absl::StrCat(phase, name));
      for (Index f = 0; f < setup.features; ++f) {
        if (StatusOf(common, f) != FeatureStatus::kAdjusted) block.col(f).setZero();
      }
    }
  }
  ATTUNE_RETURN_IF_ERROR(WithContext(answer.CheckFinite(), "round 2's question cannot be answered"));
  return answer;
}

absl::StatusOr<Blocks> EvidencePooled(const StudyFacts& facts, const Setup& setup, const Question& question,
                                      const Summary& pooled) {
  const Blocks common = CommonOf(setup, question);
  const auto batches = static_cast<double>(facts.batches.size());
  if (pooled["batches"](0, 0) != batches) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answers are of ", pooled["batches"](0, 0), " batches, expected ", batches));
  }
  Blocks evidence = EmptyEvidence(facts, setup, common, /*scale_ratios=*/false, batches);
  for (const char* phase : kPhases) {
    const ScatterSums sums = ReadSums(setup, phase, pooled);
    WriteCount(sums, 0, evidence);
    WriteFigures(facts, phase, sums, batches, {}, 0, evidence);
  }
  return evidence;
}

}  // namespace attune::combat

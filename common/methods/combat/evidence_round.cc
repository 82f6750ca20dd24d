// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/evidence_round.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/evidence/site_effect.h"
#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/pooled_model.h"

namespace attune::combat {
namespace {

using Eigen::Index;

// Features whose moments of all batches are in memory at once.
constexpr Index kEvidenceTileFeatures = 2048;

// The sums of ScatterSums as blocks: the design's once, the features' per phase, in units of each feature's sigma, so that
// their fixed point does not depend on the feature's unit.
Form SumsForm(const Setup& setup) {
  const Index p = setup.p;
  const Index f = setup.features;
  const Index d = setup.missing ? f : 1;
  Form form;
  const auto add = [&](const std::string& name, BlockKind kind, Index rows, Index cols) {
    form.push_back({name, kind, rows, cols, kind == BlockKind::kCount ? 0 : kFineResolutionLog2});
  };
  add("batches", BlockKind::kCount, 1, 1);
  add("count", BlockKind::kCount, 1, d);
  add("x_shift", BlockKind::kSum, p, d);
  add("xx_within", BlockKind::kSum, p * p, d);
  add("xx_between", BlockKind::kSum, p * p, d);
  for (const char* phase : kPhases) {
    add(absl::StrCat(phase, "y_shift"), BlockKind::kSum, 1, f);
    add(absl::StrCat(phase, "xy_within"), BlockKind::kSum, p, f);
    add(absl::StrCat(phase, "xy_between"), BlockKind::kSum, p, f);
    add(absl::StrCat(phase, "yy_within"), BlockKind::kSum, 1, f);
    add(absl::StrCat(phase, "yy_between"), BlockKind::kSum, 1, f);
  }
  return form;
}

void WriteDesignSums(const ScatterSums& sums, const Eigen::ArrayXd& x_centre, Summary& out) {
  out.Mutable("count") = sums.count.matrix().transpose();
  auto x_shift = out.Mutable("x_shift");
  auto within = out.Mutable("xx_within");
  auto between = out.Mutable("xx_between");
  const Index p = sums.x_shift.rows();
  for (Index column = 0; column < sums.x_shift.cols(); ++column) {
    const double n = sums.count[column];
    const auto scale = [&](Index i) { return std::sqrt(sums.xx_within(i * (p + 1), column) + n * x_centre[i] * x_centre[i]); };
    for (Index i = 0; i < p; ++i) {
      x_shift(i, column) = WithoutNoise(sums.x_shift(i, column), std::sqrt(n) * scale(i));
      for (Index j = 0; j < p; ++j) {
        const double product = scale(i) * scale(j);
        within(j * p + i, column) = WithoutNoise(sums.xx_within(j * p + i, column), product);
        between(j * p + i, column) = WithoutNoise(sums.xx_between(j * p + i, column), product);
      }
    }
  }
}

void WriteFeatureSums(const std::string& phase, const ScatterSums& sums, const Blocks& common, Summary& out) {
  const auto sigma = common["sigma"];
  const auto status = common["status"];
  const auto write = [&](const char* name, const Eigen::ArrayXXd& values, int power) {
    auto block = out.Mutable(phase + name);
    for (Index f = 0; f < block.cols(); ++f) {
      // What a feature that is left as it is adds is not asked for: its block of round 1 was zeroed where it is constant, but
      // not in the other batches.
      if (!IsAdjusted(status(0, f))) continue;
      const double unit = power == 1 ? sigma(0, f) : sigma(0, f) * sigma(0, f);
      for (Index i = 0; i < block.rows(); ++i) block(i, f) = WithoutNoise(values(i, f) / unit, 1);
    }
  };
  write("y_shift", sums.y_shift.transpose(), 1);
  write("xy_within", sums.xy_within, 1);
  write("xy_between", sums.xy_between, 1);
  write("yy_within", sums.yy_within.transpose(), 2);
  write("yy_between", sums.yy_between.transpose(), 2);
}

ScatterSums ReadSums(const Setup& setup, const std::string& phase, const Blocks& common, const Summary& pooled) {
  ScatterSums sums(setup.p, setup.features, setup.missing);
  sums.count = pooled["count"].transpose().array();
  sums.x_shift = pooled["x_shift"].array();
  sums.xx_within = pooled["xx_within"].array();
  sums.xx_between = pooled["xx_between"].array();
  const Eigen::ArrayXd sigma = common["sigma"].transpose().array();
  sums.y_shift = pooled[phase + "y_shift"].transpose().array() * sigma;
  sums.xy_within = pooled[phase + "xy_within"].array().rowwise() * sigma.transpose();
  sums.xy_between = pooled[phase + "xy_between"].array().rowwise() * sigma.transpose();
  sums.yy_within = pooled[phase + "yy_within"].transpose().array() * sigma.square();
  sums.yy_between = pooled[phase + "yy_between"].transpose().array() * sigma.square();
  return sums;
}

// The centre that keeps the sums of squares small: the pooled means. The covariates' are those of the first feature that is
// adjusted, for one that is set aside has none.
Eigen::ArrayXd YCentre(const Summary& pooled) { return pooled["y_sum"].transpose().array() / pooled["n"](0, 0); }
Eigen::ArrayXd XCentre(const Setup& setup, const Blocks& common, const Summary& pooled) {
  Index column = 0;
  for (Index f = 0; setup.missing && f < setup.features; ++f) {
    if (!IsAdjusted(common["status"](0, f))) continue;
    column = f;
    break;
  }
  return pooled["x_sum"].col(column).array() / pooled["n"](0, 0);
}

Blocks EmptyEvidence(const StudyFacts& facts, const Setup& setup, const Blocks& common, bool scale_ratios, double batches) {
  Blocks evidence = Blocks::Zero(EvidenceForm(facts, scale_ratios));
  auto tested = evidence.Mutable("tested");
  const auto status = common["status"];
  for (Index f = 0; f < setup.features; ++f) tested(0, f) = IsAdjusted(status(0, f)) ? 1 : 0;
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
  const auto status = common["status"];
  for (Index k = 0; k < count; ++k) {
    correction.adjusted[k] = IsAdjusted(status(0, first + k)) && batch != setup.reference ? 1 : 0;
  }
  return correction;
}

}  // namespace

Blocks EvidencePerBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const Summary& pooled,
                        const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, Blocks>& corrections, int threads) {
  const auto batches = static_cast<double>(by_batch.size());
  const Eigen::ArrayXd x_centre = XCentre(setup, common, pooled);
  const Eigen::ArrayXd y_centre = YCentre(pooled);
  Blocks evidence = EmptyEvidence(facts, setup, common, /*scale_ratios=*/true, batches);
  ParallelTiles(setup.features, kEvidenceTileFeatures, threads, [&](Index first, Index last) {
    const Index count = last - first;
    std::vector<Moments> before;
    std::vector<Moments> after;
    for (const auto& [batch, summary] : by_batch) {
      before.push_back(MomentsOf(summary, setup, first, count));
      const Blocks& own = corrections.at(batch);
      after.push_back(AfterCorrection(before.back(), CorrectionOf(setup, common, batch, own, first, count)));
      summary.Evict();
      own.Evict();
    }
    for (const char* phase : kPhases) {
      const std::vector<Moments>& moments = IsBefore(phase) ? before : after;
      ScatterSums sums(setup.p, count, setup.missing);
      for (const Moments& batch : moments) sums.AddBatch(batch, x_centre, y_centre.segment(first, count));
      WriteCount(sums, first, evidence);
      WriteFigures(facts, phase, sums, batches, moments, first, evidence);
    }
  });
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
  const Eigen::ArrayXd x_centre = question.body["x_centre"].col(0).array();
  for (const char* phase : kPhases) {
    ScatterSums sums(setup.p, setup.features, setup.missing);
    sums.AddBatch(IsBefore(phase) ? before : after, x_centre, question.body["y_centre"].row(0).transpose().array());
    WriteDesignSums(sums, x_centre, answer);
    WriteFeatureSums(phase, sums, common, answer);
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
    const ScatterSums sums = ReadSums(setup, phase, common, pooled);
    WriteCount(sums, 0, evidence);
    WriteFigures(facts, phase, sums, batches, {}, 0, evidence);
  }
  return evidence;
}

}  // namespace attune::combat

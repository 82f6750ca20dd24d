// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/form.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune::combat {
namespace {

using Eigen::Index;

// Non-parametric empirical Bayes compares every feature with every other.
constexpr Index kMostNonparametricFeatures = 20000;

// Features that are checked at a time.
constexpr Index kCheckedFeatures = 8192;

void AppendBlocks(const Setup& setup, const std::string& prefix, Form& form) {
  const Index p = setup.p;
  const Index f = setup.features;
  const auto add = [&](const char* name, BlockKind kind, Index rows, Index cols, int resolution_log2 = kFineResolutionLog2) {
    form.push_back({absl::StrCat(prefix, name), kind, rows, cols, kind == BlockKind::kCount ? 0 : resolution_log2});
  };
  add("n", BlockKind::kCount, 1, 1);
  if (setup.missing) add("count", BlockKind::kCount, 1, f);
  add("x_sum", BlockKind::kSum, p, setup.missing ? f : 1);
  add("xx", BlockKind::kSum, p * p, setup.missing ? f : 1);
  add("y_sum", BlockKind::kSum, 1, f);
  add("xy", BlockKind::kSum, p, f);
  add("yy", BlockKind::kSum, 1, f, kSquaresResolutionLog2);
  add("constant", BlockKind::kCount, 1, f);
  if (setup.missing) add("empty", BlockKind::kCount, 1, f);
}

// The covariates' sums of one column of the moments, as the column `to` of the design's blocks.
template <typename Block>
void WriteDesign(const Moments& moments, Index column, Index to, Block& x_sum, Block& xx) {
  const Index p = moments.x_mean.rows();
  const double n = moments.subjects;
  for (Index i = 0; i < p; ++i) {
    const double own = moments.xx(i * (p + 1), column);
    x_sum(i, to) = WithoutNoise(n * moments.x_mean(i, column), std::sqrt(n * own));
    for (Index j = 0; j < p; ++j) {
      xx.data()[to * p * p + j * p + i] =
          WithoutNoise(moments.xx(j * p + i, column), std::sqrt(own * moments.xx(j * (p + 1), column)));
    }
  }
}

// The blocks of a form, by the names that follow `prefix`.
struct FormBlocks {
  FormBlocks(const Setup& setup, const std::string& prefix, Summary& out)
      : n(out.Mutable(absl::StrCat(prefix, "n"))),
        x_sum(out.Mutable(absl::StrCat(prefix, "x_sum"))),
        xx(out.Mutable(absl::StrCat(prefix, "xx"))),
        y_sum(out.Mutable(absl::StrCat(prefix, "y_sum"))),
        xy(out.Mutable(absl::StrCat(prefix, "xy"))),
        yy(out.Mutable(absl::StrCat(prefix, "yy"))),
        constant(out.Mutable(absl::StrCat(prefix, "constant"))),
        count(out.Mutable(absl::StrCat(prefix, setup.missing ? "count" : "n"))),
        empty(out.Mutable(absl::StrCat(prefix, setup.missing ? "empty" : "n"))) {}
  using Block = Eigen::Map<Eigen::MatrixXd>;
  Block n, x_sum, xx, y_sum, xy, yy, constant;
  Block count, empty;  // with missing values only
};

// Fills the features from `first` on. What is common to all features is filled with the first of them.
void FillFeatures(const Setup& setup, const Moments& moments, Index first, FormBlocks& out) {
  const Index p = setup.p;
  const bool may_flag = !setup.IsSmall(moments.subjects);
  const double n = moments.subjects;
  if (first == 0) {
    out.n(0, 0) = n;
    if (!setup.missing) WriteDesign(moments, 0, 0, out.x_sum, out.xx);
  }
  for (Index k = 0; k < moments.features(); ++k) {
    const Index f = first + k;
    if (setup.missing && moments.count[k] == 0) {
      out.empty(0, f) = 1;
      continue;
    }
    if (may_flag && moments.y_min[k] == moments.y_max[k]) {
      out.constant(0, f) = 1;
      continue;
    }
    // With missing values too, sums are means times the whole batch's n: alpha weights batches by n (README.md).
    out.y_sum(0, f) = WithoutNoise(n * moments.y_mean[k], std::sqrt(n * moments.yy[k]));
    out.yy(0, f) = moments.yy[k];
    const Index design = setup.missing ? k : 0;
    for (Index i = 0; i < p; ++i) {
      out.xy(i, f) = WithoutNoise(moments.xy(i, k), std::sqrt(moments.xx(i * (p + 1), design) * moments.yy[k]));
    }
    if (!setup.missing) continue;
    out.count(0, f) = moments.count[k];
    WriteDesign(moments, k, f, out.x_sum, out.xx);
  }
}

}  // namespace

absl::StatusOr<Setup> SetupOf(const StudyFacts& facts) {
  Setup setup;
  if (!setup.options.ParseFromString(facts.options)) {
    return absl::InvalidArgumentError("the study's ComBat options cannot be read");
  }
  setup.p = static_cast<Index>(DesignColumns(facts.covariates).size());
  setup.features = static_cast<Index>(facts.features.size());
  setup.missing = setup.options.missing() == v1::MISSING_VALUES_ALLOW;
  setup.min_batch_size = facts.min_batch_size;
  if (setup.features == 0) return absl::InvalidArgumentError("the study has no features");
  if (facts.batches.empty()) return absl::InvalidArgumentError("the study has no batches");
  if (setup.options.prior() == v1::PRIOR_NONPARAMETRIC && setup.features > kMostNonparametricFeatures &&
      !setup.options.force_nonparametric()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prior: nonparametric compares all pairs of ", setup.features, " features, more than the ", kMostNonparametricFeatures,
        " that it is meant for; use prior: parametric, or set force_nonparametric: true"));
  }
  if (!setup.options.reference_batch().empty()) {
    absl::StatusOr<BatchId> reference = ResolveBatch(setup.options.reference_batch(), facts.batches);
    if (!reference.ok()) return WithContext(absl::InvalidArgumentError(reference.status().message()), "reference_batch");
    setup.reference = *std::move(reference);
  }
  return setup;
}

Form RoundOneForm(const StudyFacts& facts, const Setup& setup) {
  Form form;
  AppendBlocks(setup, "", form);
  if (facts.release == Release::kPooled && !setup.reference.empty()) AppendBlocks(setup, kReferencePrefix, form);
  return form;
}

absl::Status CheckBatchSize(const Setup& setup, double n) {
  if (!setup.IsSmall(n) || setup.options.small_batches() == v1::SMALL_BATCHES_MEAN_ONLY) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("there are fewer subjects to estimate on than min_batch_size ", setup.min_batch_size,
                   "; leave the batch out, merge it with another, or set small_batches: mean_only in the study file"));
}

absl::Status CheckFilledRoundOne(const Setup& setup, const Summary& summary) {
  ATTUNE_RETURN_IF_ERROR(summary.CheckFinite());
  const double n = summary["n"](0, 0);
  if (!(n >= 1) || n != std::floor(n)) {
    return absl::InvalidArgumentError("block 'n' is no whole number of subjects");
  }
  ATTUNE_RETURN_IF_ERROR(CheckBatchSize(setup, n));
  const auto check = [&](const char* name, const auto& allowed, const char* expected) {
    for (Index first = 0; first < setup.features; first += kCheckedFeatures) {
      const Eigen::MatrixXd tile = summary.Columns(name, first, std::min(kCheckedFeatures, setup.features - first));
      if (std::all_of(tile.data(), tile.data() + tile.size(), allowed)) continue;
      return absl::InvalidArgumentError(absl::StrCat("block '", name, "' holds other values than ", expected));
    }
    return absl::OkStatus();
  };
  const auto flag = [](double value) { return value == 0 || value == 1; };
  ATTUNE_RETURN_IF_ERROR(check("constant", flag, "0 or 1"));
  ATTUNE_RETURN_IF_ERROR(check(
      "yy", [](double value) { return value >= 0; }, "sums of squares"));
  const auto xx = summary["xx"];
  for (Index i = 0; i < setup.p; ++i) {
    if ((xx.row(i * (setup.p + 1)).array() < 0).any()) {
      return absl::InvalidArgumentError("block 'xx' holds a negative sum of squares");
    }
  }
  if (!setup.missing) return absl::OkStatus();
  ATTUNE_RETURN_IF_ERROR(check("empty", flag, "0 or 1"));
  return check(
      "count", [&](double value) { return value >= 0 && value <= n && value == std::floor(value); },
      "whole numbers of subjects of the batch");
}

Summary FillRoundOne(const Form& form, const Setup& setup, MomentTree&& moments, bool is_reference) {
  Summary summary = Summary::Zero(form);
  std::vector<FormBlocks> parts = {FormBlocks(setup, "", summary)};
  if (is_reference && summary.Has(absl::StrCat(kReferencePrefix, "n"))) parts.emplace_back(setup, kReferencePrefix, summary);
  std::move(moments).Finish([&](Index first, const Moments& tile) {
    for (FormBlocks& part : parts) FillFeatures(setup, tile, first, part);
  });
  return summary;
}

Moments MomentsOf(const Summary& summary, const Setup& setup, Index first, Index count, const std::string& prefix) {
  const auto block = [&](const char* name) { return summary[absl::StrCat(prefix, name)]; };
  Moments moments(setup.p, count, setup.missing);
  const double n = block("n")(0, 0);
  moments.subjects = n;
  if (n == 0) return moments;
  if (setup.missing) {
    // Where nobody but one is present, these are flags, which may be packed.
    moments.count = summary.Columns(absl::StrCat(prefix, "count"), first, count).transpose().array();
    moments.x_mean = block("x_sum").middleCols(first, count).array() / n;
    moments.xx = block("xx").middleCols(first, count).array();
  } else {
    moments.count[0] = n;
    moments.x_mean = block("x_sum").array() / n;
    moments.xx = block("xx").array();
  }
  moments.y_mean = block("y_sum").middleCols(first, count).transpose().array() / n;
  moments.xy = block("xy").middleCols(first, count).array();
  moments.yy = block("yy").middleCols(first, count).transpose().array();
  return moments;
}

}  // namespace attune::combat

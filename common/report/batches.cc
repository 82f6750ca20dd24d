// SPDX-License-Identifier: Apache-2.0
#include "common/report/batches.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>

#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/pooled_model.h"
#include "common/numeric/empirical_bayes.h"
#include "common/numeric/location_scale.h"
#include "common/report/columns.h"

namespace attune {
namespace {

using Eigen::Index;

// Who is in a batch. With missing values these are those who have the feature that most of the batch have.
void FillCovariates(const StudyFacts& facts, const combat::Setup& setup, const Blocks& common, const Summary& answer,
                    v1::ReportBatch& out) {
  Index best = 0;
  double most = -1;
  for (Index f = 0; setup.missing && f < setup.features; ++f) {
    if (!combat::IsAdjusted(common["status"](0, f)) || !(answer["count"](0, f) > most)) continue;
    most = answer["count"](0, f);
    best = f;
  }
  const Moments moments = combat::MomentsOf(answer, setup, best, 1);
  const double n = moments.count[0];
  const std::vector<DesignColumn> columns = DesignColumns(facts.covariates);
  const Index p = setup.p;
  Index first = 0;
  for (std::size_t c = 0; c < facts.covariates.size(); ++c) {
    v1::BatchCovariate& covariate = *out.add_covariates();
    covariate.set_subjects(static_cast<std::uint64_t>(n));
    if (!facts.covariates[c].categorical()) {
      if (n >= kFewestShown) {
        covariate.set_mean(moments.x_mean(first, 0));
        covariate.set_sd(std::sqrt(moments.xx(first * (p + 1), 0) / (n - 1)));
      }
      ++first;
      continue;
    }
    // The reference level has no column: it is the rest.
    std::vector<double> counts(facts.covariates[c].levels.size());
    double rest = n;
    for (std::size_t level = 1; level < counts.size(); ++level, ++first) {
      counts[level] = std::round(n * moments.x_mean(first, 0));
      rest -= counts[level];
    }
    counts[0] = rest;
    bool shown = n > 0;
    for (const double count : counts) shown = shown && (count == 0 || count >= kFewestShown);
    for (const double count : counts) {
      if (shown) covariate.add_shares(count / n);
    }
  }
}

// The hyperparameters of a batch, which follow from its estimates alone.
std::optional<BatchPrior> PriorOf(const Blocks& common, const Blocks& correction) {
  const auto row = [](const Blocks& blocks, const char* name) {
    const auto block = blocks[name];
    return std::span<const double>(block.data(), static_cast<std::size_t>(block.size()));
  };
  const std::span<const double> status = row(common, "status");
  if (std::count_if(status.begin(), status.end(), combat::IsAdjusted) < combat::kFewestFeaturesForPrior) return std::nullopt;
  // A status other than 0 is a feature that is left out.
  static_assert(static_cast<int>(combat::FeatureStatus::kAdjusted) == 0);
  return EstimatePrior({.gamma = row(correction, "gamma_hat"), .delta2 = row(correction, "delta2_hat"), .left_out = status});
}

}  // namespace

std::vector<BatchFeature> BatchesOfFeature(const ReportInput& input, const combat::Setup& setup, Index feature) {
  constexpr double kLeft = std::numeric_limits<double>::quiet_NaN();
  std::vector<BatchFeature> out;
  if (!combat::IsAdjusted(input.common["status"](0, feature))) {
    out.assign(input.answers.size(), {kLeft, kLeft, kLeft, kLeft, kLeft, kLeft});
    return out;
  }
  const double sigma = input.common["sigma"](0, feature);
  double count = 0;
  double sum_before = 0;
  double sum_after = 0;
  for (const auto& [batch, answer] : input.answers) {
    const Blocks& correction = input.corrections.at(batch);
    const auto entry = [&](const char* name) { return correction[name](0, feature); };
    const Moments before = combat::MomentsOf(answer, setup, feature, 1);
    const LocationScale applied{Eigen::ArrayXd::Constant(1, input.common["alpha"](0, feature)),
                                input.common["beta"].col(feature).array(),
                                Eigen::ArrayXd::Constant(1, sigma),
                                Eigen::ArrayXd::Constant(1, entry("gamma")),
                                Eigen::ArrayXd::Constant(1, entry("delta2")),
                                Eigen::ArrayXd::Constant(1, batch == setup.reference ? 0 : 1)};
    const Moments after = AfterCorrection(before, applied);
    out.push_back(
        {entry("gamma_hat"), entry("gamma"), entry("delta2_hat"), entry("delta2"), before.y_mean[0], after.y_mean[0]});
    const double n = before.count[0];
    count += n;
    sum_before += n * before.y_mean[0];
    sum_after += n * after.y_mean[0];
  }
  for (BatchFeature& batch : out) {
    batch.mean_before = (batch.mean_before - sum_before / count) / sigma;
    batch.mean_after = (batch.mean_after - sum_after / count) / sigma;
  }
  return out;
}

v1::BatchFigures FiguresOfBatches(const ReportInput& input, const combat::Setup& setup, const std::vector<Index>& features) {
  v1::BatchFigures out;
  for (const auto& [batch, answer] : input.answers) {
    const Blocks& correction = input.corrections.at(batch);
    v1::ReportBatch& row = *out.add_batches();
    const double n = answer["n"](0, 0);
    row.set_site(SiteOf(batch));
    row.set_label(LabelOf(batch));
    row.set_subjects(static_cast<std::uint64_t>(n));
    row.set_reference(batch == setup.reference);
    row.set_location_only(!row.reference() && !setup.options.mean_only() && setup.IsSmall(n));
    FillCovariates(input.facts, setup, input.common, answer, row);
    if (setup.options.prior() == v1::PRIOR_NONE || row.reference()) continue;
    const std::optional<BatchPrior> prior = PriorOf(input.common, correction);
    if (!prior.has_value()) continue;
    out.set_empirical_bayes(true);
    if (setup.options.prior() == v1::PRIOR_NONPARAMETRIC) continue;  // no law with parameters
    row.mutable_prior()->set_gamma_bar(prior->gamma_bar);
    row.mutable_prior()->set_tau2(prior->tau2);
    row.mutable_prior()->set_a(prior->a);
    row.mutable_prior()->set_b(prior->b);
  }
  out.set_scales(!setup.options.mean_only());
  for (const Index feature : features) {
    const std::vector<BatchFeature> values = BatchesOfFeature(input, setup, feature);
    for (int b = 0; b < out.batches_size(); ++b) {
      v1::ReportBatch& row = *out.mutable_batches(b);
      const BatchFeature& value = values[static_cast<std::size_t>(b)];
      AppendFloat(value.gamma_hat, row.mutable_gamma_hat());
      AppendFloat(value.gamma, row.mutable_gamma());
      AppendFloat(value.delta2_hat, row.mutable_delta2_hat());
      AppendFloat(value.delta2, row.mutable_delta2());
      AppendFloat(value.mean_before, row.mutable_mean_before());
      AppendFloat(value.mean_after, row.mutable_mean_after());
    }
  }
  return out;
}

}  // namespace attune

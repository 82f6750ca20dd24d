// SPDX-License-Identifier: Apache-2.0
#include "common/evidence/summary.h"

#include <algorithm>
#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/evidence/site_effect.h"
#include "common/numeric/median.h"

namespace attune {
namespace {

using Eigen::Index;

double UpperTail(double f, double numerator, double denominator) {
  if (!(f > 0)) return 1;
  if (std::isinf(f)) return 0;
  return boost::math::cdf(boost::math::complement(boost::math::fisher_f(numerator, denominator), f));
}

// How many hypotheses Benjamini & Hochberg reject: the largest k with p_(k) <= k/m * rate.
std::int64_t Rejected(std::vector<double> p_values) {
  std::sort(p_values.begin(), p_values.end());
  const auto m = static_cast<double>(p_values.size());
  for (std::size_t k = p_values.size(); k > 0; --k) {
    if (p_values[k - 1] <= static_cast<double>(k) / m * kFalseDiscoveryRate) return static_cast<std::int64_t>(k);
  }
  return 0;
}

// F statistics of one test, with the degrees of freedom of each.
struct FStatistics {
  std::vector<double> f;
  std::vector<double> freedom;  // of the denominator
  double numerator = 0;
};

// The same count from the statistics. Where all have the same degrees of freedom, p falls as F grows, and few tails are needed:
// with k hypotheses rejected at most, those with p <= k/m * rate can be, which is the next k, down to the one that stays.
std::int64_t Rejected(FStatistics statistics) {
  std::vector<double>& f = statistics.f;
  if (f.empty()) return 0;
  const double freedom = statistics.freedom.front();
  const bool same = std::all_of(statistics.freedom.begin(), statistics.freedom.end(), [&](double d) { return d == freedom; });
  if (!same) {
    std::vector<double> p_values(f.size());
    for (std::size_t i = 0; i < f.size(); ++i) p_values[i] = UpperTail(f[i], statistics.numerator, statistics.freedom[i]);
    return Rejected(std::move(p_values));
  }
  std::sort(f.begin(), f.end(), std::greater<>());
  const auto m = static_cast<double>(f.size());
  auto end = f.end();
  for (;;) {
    const auto k = end - f.begin();
    const double threshold = static_cast<double>(k) / m * kFalseDiscoveryRate;
    const auto next = std::partition_point(
        f.begin(), end, [&](double value) { return UpperTail(value, statistics.numerator, freedom) <= threshold; });
    if (next == end) return static_cast<std::int64_t>(k);
    end = next;
  }
}

}  // namespace

absl::StatusOr<EvidenceSummary> Summarize(const Blocks& evidence, const StudyFacts& facts) {
  const bool scale_ratios = evidence.Has("before.log_scale_ratio");
  if (const Form expected = EvidenceForm(facts, scale_ratios); evidence.form() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("the evidence is not that of this study: ", DescribeDifference(expected, evidence.form())));
  }
  const auto features = static_cast<Index>(facts.features.size());
  const std::vector<DesignColumn> columns = DesignColumns(facts.covariates);
  const auto p = static_cast<double>(columns.size());
  const auto tested = evidence["tested"];
  const auto count = evidence["count"];
  const double batches = evidence["batches"](0, 0);

  EvidenceSummary summary;
  summary.subjects = static_cast<std::int64_t>(evidence["subjects"](0, 0));
  for (const std::string phase : kPhases) {
    EvidenceSummary::Phase& out = IsBefore(phase) ? summary.before : summary.after;
    const auto f_values = evidence[phase + "f"];
    const auto eta = evidence[phase + "partial_eta_squared"];
    const auto covariate_f = evidence[phase + "covariate_f"];
    FStatistics of_batch{.numerator = batches - 1};
    std::vector<double> etas;
    std::vector<double> ratios;
    std::vector<FStatistics> of_covariate(facts.covariates.size());
    for (std::size_t c = 0; c < of_covariate.size(); ++c) {
      of_covariate[c].numerator = static_cast<double>(
          std::count_if(columns.begin(), columns.end(), [&](const DesignColumn& column) { return column.covariate == c; }));
    }
    std::optional<Eigen::Map<const Eigen::MatrixXd>> log_scale_ratio;
    if (scale_ratios) log_scale_ratio.emplace(evidence[phase + "log_scale_ratio"]);
    for (Index f = 0; f < features; ++f) {
      const double freedom = count(0, f) - batches - p;
      if (tested(0, f) == 0 || !(freedom > 0)) continue;
      if (batches > 1) {
        of_batch.f.push_back(f_values(0, f));
        of_batch.freedom.push_back(freedom);
      }
      etas.push_back(eta(0, f));
      if (scale_ratios) ratios.push_back((*log_scale_ratio)(0, f));
      for (std::size_t c = 0; c < of_covariate.size(); ++c) {
        of_covariate[c].f.push_back(covariate_f(static_cast<Index>(c), f));
        of_covariate[c].freedom.push_back(freedom);
      }
    }
    out.tested = static_cast<std::int64_t>(etas.size());
    out.with_batch_effect = Rejected(std::move(of_batch));
    out.median_partial_eta_squared = Median(etas);
    if (scale_ratios) out.median_scale_ratio = std::exp(Median(ratios));
    for (FStatistics& statistics : of_covariate) out.covariate_features.push_back(Rejected(std::move(statistics)));
  }
  return summary;
}

}  // namespace attune

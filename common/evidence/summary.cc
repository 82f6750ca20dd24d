// SPDX-License-Identifier: Apache-2.0
#include "common/evidence/summary.h"

#include <algorithm>
#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>
#include <string>

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
    EvidenceSummary::Phase& out = phase == kPhases[0] ? summary.before : summary.after;
    const auto f_values = evidence[phase + "f"];
    const auto eta = evidence[phase + "partial_eta_squared"];
    const auto covariate_f = evidence[phase + "covariate_f"];
    std::vector<double> batch_p;
    std::vector<double> etas;
    std::vector<double> ratios;
    std::vector<std::vector<double>> covariate_p(facts.covariates.size());
    for (Index f = 0; f < features; ++f) {
      const double freedom = count(0, f) - batches - p;
      if (tested(0, f) == 0 || !(freedom > 0)) continue;
      if (batches > 1) batch_p.push_back(UpperTail(f_values(0, f), batches - 1, freedom));
      etas.push_back(eta(0, f));
      if (scale_ratios) ratios.push_back(evidence[phase + "log_scale_ratio"](0, f));
      for (std::size_t c = 0; c < covariate_p.size(); ++c) {
        const auto q = static_cast<double>(
            std::count_if(columns.begin(), columns.end(), [&](const DesignColumn& column) { return column.covariate == c; }));
        covariate_p[c].push_back(UpperTail(covariate_f(static_cast<Index>(c), f), q, freedom));
      }
    }
    out.tested = static_cast<std::int64_t>(etas.size());
    out.with_batch_effect = Rejected(batch_p);
    out.median_partial_eta_squared = Median(etas);
    if (scale_ratios) out.median_scale_ratio = std::exp(Median(ratios));
    for (const std::vector<double>& p_values : covariate_p) out.covariate_features.push_back(Rejected(p_values));
  }
  return summary;
}

}  // namespace attune

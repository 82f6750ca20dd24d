// SPDX-License-Identifier: Apache-2.0
#include "common/report/figures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "common/evidence/site_effect.h"
#include "common/report/columns.h"
#include "common/report/tail.h"

namespace attune {
namespace {

using Eigen::Index;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Ranks at which ordered p-values are told: all of few, else some on a logarithmic scale and some evenly.
std::vector<std::size_t> RanksToTell(std::size_t tested) {
  constexpr std::size_t kAll = 400;
  constexpr std::size_t kSome = 250;
  std::set<std::size_t> ranks;
  for (std::size_t i = 1; i <= std::min(tested, kAll); ++i) {
    if (tested <= kAll) ranks.insert(i);
  }
  if (tested > kAll) {
    for (std::size_t i = 0; i <= kSome; ++i) {
      const double part = static_cast<double>(i) / static_cast<double>(kSome);
      ranks.insert(static_cast<std::size_t>(std::llround(std::pow(static_cast<double>(tested), part))));
      ranks.insert(std::max<std::size_t>(1, tested * i / kSome));
    }
  }
  return {ranks.begin(), ranks.end()};
}

}  // namespace

FigureReader::FigureReader(const Blocks& evidence, const StudyFacts& facts)
    : evidence_(evidence),
      features_(static_cast<Index>(facts.features.size())),
      batches_(evidence["batches"](0, 0)),
      covariate_columns_(facts.covariates.size()),
      scale_ratios_(evidence.Has("before.log_scale_ratio")) {
  const std::vector<DesignColumn> columns = DesignColumns(facts.covariates);
  columns_ = static_cast<double>(columns.size());
  for (const DesignColumn& column : columns) covariate_columns_[column.covariate] += 1;
}

double FigureReader::Freedom(Index feature) const { return evidence_["count"](0, feature) - batches_ - columns_; }

bool FigureReader::tested(Index feature) const { return evidence_["tested"](0, feature) > 0 && Freedom(feature) > 0; }

double FigureReader::Entry(const std::string& block, Index row, Index feature) const {
  return tested(feature) ? evidence_[block](row, feature) : kNone;
}

double FigureReader::F(const std::string& phase, Index feature) const { return Entry(phase + "f", 0, feature); }

double FigureReader::PartialEtaSquared(const std::string& phase, Index feature) const {
  return Entry(phase + "partial_eta_squared", 0, feature);
}

double FigureReader::CohensF(const std::string& phase, Index feature) const {
  const double eta = PartialEtaSquared(phase, feature);
  return std::sqrt(eta / (1 - eta));
}

double FigureReader::LogScaleRatio(const std::string& phase, Index feature) const {
  return scale_ratios_ ? Entry(phase + "log_scale_ratio", 0, feature) : kNone;
}

double FigureReader::NegLog10P(const std::string& phase, Index feature) const {
  if (!tested(feature) || !(batches_ > 1)) return kNone;
  return NegLog10UpperTail(F(phase, feature), batches_ - 1, Freedom(feature));
}

double FigureReader::CovariateF(const std::string& phase, std::size_t covariate, Index feature) const {
  return Entry(phase + "covariate_f", static_cast<Index>(covariate), feature);
}

double FigureReader::CovariateNegLog10P(const std::string& phase, std::size_t covariate, Index feature) const {
  if (!tested(feature)) return kNone;
  return NegLog10UpperTail(CovariateF(phase, covariate, feature), covariate_columns_[covariate], Freedom(feature));
}

std::vector<Index> FigureReader::Ranked(const std::string& phase) const {
  std::vector<Index> ranked;
  bool same = true;
  for (Index f = 0; f < features_; ++f) {
    if (!tested(f)) continue;
    ranked.push_back(f);
    same = same && Freedom(f) == Freedom(ranked.front());
  }
  // With the same degrees of freedom p falls as F grows, and no tail is needed.
  std::vector<double> key(static_cast<std::size_t>(features_));
  for (const Index f : ranked) key[static_cast<std::size_t>(f)] = same ? F(phase, f) : NegLog10P(phase, f);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](Index a, Index b) { return key[static_cast<std::size_t>(a)] > key[static_cast<std::size_t>(b)]; });
  return ranked;
}

v1::PhaseFigures FiguresOfPhase(const FigureReader& reader, const std::string& phase, const EvidenceSummary::Phase& totals,
                                const Selection& listed, const Selection& detailed) {
  v1::PhaseFigures out;
  for (const Index f : listed.features) {
    AppendFloat(reader.NegLog10P(phase, f), out.mutable_neg_log10_p());
    AppendFloat(reader.CohensF(phase, f), out.mutable_cohens_f());
  }
  for (const std::int64_t associated : totals.covariate_features) {
    out.add_covariates()->set_associated(static_cast<std::uint64_t>(associated));
  }
  for (const Index position : detailed.features) {
    const Index f = listed.features[static_cast<std::size_t>(position)];
    AppendFloat(reader.F(phase, f), out.mutable_f());
    AppendFloat(reader.PartialEtaSquared(phase, f), out.mutable_partial_eta_squared());
    if (reader.has_scale_ratios()) AppendFloat(reader.LogScaleRatio(phase, f), out.mutable_log_scale_ratio());
    for (int c = 0; c < out.covariates_size(); ++c) {
      AppendFloat(reader.CovariateNegLog10P(phase, static_cast<std::size_t>(c), f),
                  out.mutable_covariates(c)->mutable_neg_log10_p());
    }
  }
  out.set_with_batch_effect(static_cast<std::uint64_t>(totals.with_batch_effect));

  const std::vector<Index> ranked = reader.Ranked(phase);
  for (const double least : {0.1, 0.25, 0.4}) {
    out.add_cohens_f_at_least(static_cast<std::uint64_t>(
        std::count_if(ranked.begin(), ranked.end(), [&](Index f) { return reader.CohensF(phase, f) >= least; })));
  }
  if (reader.batches() > 1) {
    for (const std::size_t rank : RanksToTell(ranked.size())) {
      AppendFloat(static_cast<double>(rank), out.mutable_rank());
      AppendFloat(reader.NegLog10P(phase, ranked[rank - 1]), out.mutable_ranked_neg_log10_p());
    }
  }
  return out;
}

}  // namespace attune

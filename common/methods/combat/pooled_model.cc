// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/pooled_model.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/numeric/linear_model.h"

namespace attune::combat {
namespace {

using Eigen::Index;

std::vector<std::string> Names(const std::vector<DesignColumn>& columns, const std::vector<Index>& which) {
  std::vector<std::string> names;
  for (const Index column : which) names.push_back(columns[static_cast<std::size_t>(column)].name);
  return names;
}

// Whether a column that never varies within a batch is the same in all of them; where single batches are not known, as far as
// the sum of an indicator tells.
bool IsSameEverywhere(const Setup& setup, const DesignColumn& column, const Summary& pooled,
                      const std::map<BatchId, Summary>& by_batch, Index index, Index feature) {
  if (by_batch.empty()) {
    const double sum = pooled["x_sum"](index, setup.missing ? feature : 0);
    return column.level > 0 && (sum == 0 || sum == pooled["n"](0, 0));
  }
  const auto mean_of = [&](const Summary& summary) { return MomentsOf(summary, setup, feature, 1).x_mean(index, 0); };
  const double first = mean_of(by_batch.begin()->second);
  return std::all_of(by_batch.begin(), by_batch.end(),
                     [&](const auto& batch) { return std::abs(mean_of(batch.second) - first) <= 1e-12 * std::abs(first); });
}

// `feature`: whose design it is, where every feature has its own.
absl::Status RankError(const StudyFacts& facts, const Setup& setup, const RankProblems& problems, const Summary& pooled,
                       const std::map<BatchId, Summary>& by_batch, Index feature) {
  const std::vector<DesignColumn> columns = DesignColumns(facts.covariates);
  std::vector<std::string> batches;
  for (const auto& [batch, summary] : by_batch) batches.push_back(batch);
  std::vector<std::string> sentences;
  for (const Index index : problems.without_variation) {
    const DesignColumn& column = columns[static_cast<std::size_t>(index)];
    std::string sentence = absl::StrCat("'", column.name, "' does not vary within any batch");
    if (IsSameEverywhere(setup, column, pooled, by_batch, index, feature)) {
      absl::StrAppend(&sentence, " (it is the same for everybody)");
    } else {
      if (!batches.empty()) absl::StrAppend(&sentence, " (", JoinSome(batches, 12), ")");
      absl::StrAppend(&sentence, ", so that its effect cannot be told from the batches'");
    }
    sentences.push_back(std::move(sentence));
  }
  for (const RankProblems::Dependence& dependence : problems.dependent) {
    sentences.push_back(absl::StrCat("'", columns[static_cast<std::size_t>(dependence.column)].name,
                                     "' is, within the batches, a linear combination of ",
                                     absl::StrJoin(Names(columns, dependence.on), ", ")));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the covariates are confounded, constant or collinear: ", absl::StrJoin(sentences, "; "),
                   ". Leave such covariates out of the study file, merge their levels, or leave such batches out"));
}

// Features that one thread takes at a time.
constexpr Index kFitTileFeatures = 8192;

}  // namespace

Form PooledModelForm(const Setup& setup) {
  const Index f = setup.features;
  return {{"n", BlockKind::kCount, 1, 1},
          {"alpha", BlockKind::kSum, 1, f},
          {"beta", BlockKind::kSum, setup.p, f},
          {"sigma", BlockKind::kSum, 1, f},
          {"status", BlockKind::kCount, 1, f}};
}

absl::Status CheckPooledModel(const Blocks& blocks) {
  ATTUNE_RETURN_IF_ERROR(blocks.CheckFinite());
  const auto sigma = blocks["sigma"];
  const auto status = blocks["status"];
  if ((sigma.array() > 0).all() && (status.array() == static_cast<double>(FeatureStatus::kAdjusted)).all()) {
    return absl::OkStatus();
  }
  for (Index f = 0; f < sigma.cols(); ++f) {
    if (!(sigma(0, f) > 0)) return absl::InvalidArgumentError(absl::StrCat("sigma of feature ", f, " is not positive"));
    const double value = status(0, f);
    if (!(value >= 0 && value <= static_cast<double>(FeatureStatus::kNoResidualVariance)) || value != std::floor(value)) {
      return absl::InvalidArgumentError(absl::StrCat("status of feature ", f, " is ", value, ", which is none"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Blocks> FitPooledModel(const StudyFacts& facts, const Setup& setup, const Summary& pooled,
                                      const std::map<BatchId, Summary>& by_batch, int threads) {
  const Index p = setup.p;
  const double n = pooled["n"](0, 0);
  if (!(n >= 1)) return absl::InvalidArgumentError("the answers count no subject");
  const auto x_sum = pooled["x_sum"];
  const auto xx = pooled["xx"];
  const auto xy = pooled["xy"];
  const auto constant = pooled["constant"];

  // The reference batch's own sums, where there is one.
  const bool has_reference = !setup.reference.empty();
  const bool separate = pooled.Has(absl::StrCat(kReferencePrefix, "n"));
  const std::string prefix = separate ? kReferencePrefix : "";
  const Summary* reference = separate ? &pooled : nullptr;
  if (has_reference && !separate) {
    const auto found = by_batch.find(setup.reference);
    if (found == by_batch.end())
      return absl::InvalidArgumentError(absl::StrCat("no answer of the reference batch '", setup.reference, "'"));
    reference = &found->second;
  }

  if (has_reference) {
    const double reference_n = (*reference)[absl::StrCat(prefix, "n")](0, 0);
    if (!(reference_n >= 1)) {
      return absl::InvalidArgumentError(absl::StrCat("the reference batch '", setup.reference, "' counts no subject"));
    }
    if (setup.IsSmall(reference_n)) {
      return absl::FailedPreconditionError(absl::StrCat("the reference batch '", setup.reference,
                                                        "' has fewer subjects to estimate on than min_batch_size ",
                                                        setup.min_batch_size, ": choose a larger one as reference_batch"));
    }
  }

  // Per feature where values may be missing: sum of squares about 0 of x, from x_sum = N xbar.
  const auto problems_of = [&](Index column) {
    const Eigen::Map<const Eigen::MatrixXd> scatter(xx.data() + column * p * p, p, p);
    Eigen::VectorXd raw(p);
    for (Index i = 0; i < p; ++i) raw[i] = scatter(i, i) + x_sum(i, column) * x_sum(i, column) / n;
    return FindRankProblems(scatter, raw);
  };

  std::optional<ScatterSolver> common_solver;
  if (!setup.missing) {
    const RankProblems problems = problems_of(0);
    if (!problems.none()) return RankError(facts, setup, problems, pooled, by_batch, 0);
    common_solver = ScatterSolver::Create(Eigen::Map<const Eigen::MatrixXd>(xx.data(), p, p));
    if (!common_solver) return absl::InvalidArgumentError("the answers' covariate scatter is not positive definite");
  }

  const Summary& source = has_reference ? *reference : pooled;
  const std::string& from = has_reference ? prefix : "";
  const auto of = [&](const char* name) { return source[absl::StrCat(from, name)]; };
  const double source_n = of("n")(0, 0);
  const auto source_x_sum = of("x_sum");
  const auto source_xx = of("xx");
  const auto source_y_sum = of("y_sum");
  const auto source_xy = of("xy");
  const auto source_yy = of("yy");
  const Eigen::MatrixXd source_count =
      setup.missing ? source.Columns(absl::StrCat(from, "count"), 0, setup.features) : Eigen::MatrixXd();
  const auto empty = pooled[setup.missing ? "empty" : "constant"];

  Blocks common = Blocks::Zero(PooledModelForm(setup));
  common.Mutable("n")(0, 0) = n;
  auto alpha = common.Mutable("alpha");
  auto beta = common.Mutable("beta");
  auto sigma = common.Mutable("sigma");
  auto status = common.Mutable("status");
  const auto fit = [&](Index f, double* slopes) -> FeatureStatus {
    const Index column = setup.missing ? f : 0;
    if (constant(0, f) > 0) return FeatureStatus::kConstant;
    if (setup.missing && empty(0, f) > 0) return FeatureStatus::kEmpty;
    std::optional<ScatterSolver> own_solver;
    if (setup.missing) {
      const double* scatter = xx.data() + column * p * p;
      if (problems_of(f).none()) own_solver = ScatterSolver::Create(Eigen::Map<const Eigen::MatrixXd>(scatter, p, p));
      if (!own_solver) return FeatureStatus::kSingular;
    }
    (setup.missing ? *own_solver : *common_solver).SolveInto(xy.data() + f * p, slopes);
    double intercept = source_y_sum(0, f) / source_n;
    for (Index i = 0; i < p; ++i) intercept -= source_x_sum(i, column) / source_n * slopes[i];
    const double present = setup.missing ? source_count(0, f) : source_n;
    const double yy = source_yy(0, f);
    const double rss = ResidualSumOfSquares(source_xx.data() + column * p * p, source_xy.data() + f * p, yy, slopes, p);
    if (!(rss > kNoResidual * yy) || !(present > 0)) return FeatureStatus::kNoResidualVariance;
    sigma(0, f) = std::sqrt(rss / present);
    alpha(0, f) = intercept;
    std::copy(slopes, slopes + p, beta.data() + f * p);
    return FeatureStatus::kAdjusted;
  };
  ParallelTiles(setup.features, kFitTileFeatures, threads, [&](Index first, Index last) {
    std::vector<double> slopes(static_cast<std::size_t>(p));
    for (Index f = first; f < last; ++f) {
      sigma(0, f) = 1;
      status(0, f) = static_cast<double>(fit(f, slopes.data()));
    }
  });
  // With missing values every feature may turn out singular; when all do, the covariates are at fault, not the features.
  std::optional<Index> singular;
  bool any_regular = false;
  for (Index f = 0; f < setup.features; ++f) {
    any_regular |= IsAdjusted(status(0, f));
    if (status(0, f) == static_cast<double>(FeatureStatus::kSingular)) singular = f;
  }
  if (!any_regular && singular) return RankError(facts, setup, problems_of(*singular), pooled, by_batch, *singular);
  return common;
}

std::vector<std::string> NotesOnFeatures(const StudyFacts& facts, const Blocks& common) {
  // Reasons in order of their number; each with its features.
  static constexpr std::pair<FeatureStatus, const char*> kReasons[] = {
      {FeatureStatus::kConstant, "do not vary within some batch"},
      {FeatureStatus::kEmpty, "are missing in everybody of some batch"},
      {FeatureStatus::kSingular, "are present in too few people to separate the covariates"},
      {FeatureStatus::kNoResidualVariance, "are explained exactly by the covariates"},
  };
  std::vector<std::string> notes;
  for (const auto& [reason, words] : kReasons) {
    std::vector<std::string> features;
    const auto status = common["status"];
    for (Index f = 0; f < status.cols(); ++f) {
      if (status(0, f) == static_cast<double>(reason)) features.push_back(facts.features[static_cast<std::size_t>(f)]);
    }
    if (features.empty()) continue;
    notes.push_back(absl::StrCat(features.size(), features.size() == 1 ? " feature is" : " features are",
                                 " left as they are at every site, because they ", words, ": ", JoinSome(features, 200)));
  }
  return notes;
}

}  // namespace attune::combat

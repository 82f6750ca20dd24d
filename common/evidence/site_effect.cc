// SPDX-License-Identifier: Apache-2.0
#include "common/evidence/site_effect.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/numeric/linear_model.h"
#include "common/numeric/median.h"

namespace attune {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// The columns `kept` of a design, ready to tell the residual sum of squares of any y about them. Nothing when their scatter is
// singular.
class Regression {
 public:
  static std::optional<Regression> Create(const MatrixXd& xx, const std::vector<Index>& kept) {
    const auto k = static_cast<Index>(kept.size());
    MatrixXd sub_xx(k, k);
    for (Index i = 0; i < k; ++i) {
      for (Index j = 0; j < k; ++j) sub_xx(i, j) = xx(kept[static_cast<std::size_t>(i)], kept[static_cast<std::size_t>(j)]);
    }
    std::optional<ScatterSolver> solver = ScatterSolver::Create(sub_xx);
    if (!solver) return std::nullopt;
    return Regression(kept, std::move(sub_xx), *std::move(solver));
  }

  // xy: of all columns.
  double Residual(const VectorXd& xy, double yy) {
    for (std::size_t i = 0; i < kept_.size(); ++i) xy_[static_cast<Index>(i)] = xy[kept_[i]];
    solver_.SolveInto(xy_.data(), beta_.data());
    return ResidualSumOfSquares(xx_.data(), xy_.data(), yy, beta_.data(), beta_.size());
  }
  // Of the last Residual.
  const VectorXd& beta() const { return beta_; }

 private:
  Regression(const std::vector<Index>& kept, MatrixXd xx, ScatterSolver solver)
      : kept_(kept), xx_(std::move(xx)), solver_(std::move(solver)), xy_(xx_.rows()), beta_(xx_.rows()) {}
  std::vector<Index> kept_;
  MatrixXd xx_;
  ScatterSolver solver_;
  VectorXd xy_;
  VectorXd beta_;
};

// The designs of the tests. They are the same for all features that have the same people.
struct Designs {
  Designs(const ScatterSums& sums, Index d, Index p, const std::vector<Index>& all,
          const std::vector<std::vector<Index>>& without)
      : n(sums.count[d]) {
    MatrixXd within_xx(p, p);
    MatrixXd total_xx(p, p);
    for (Index i = 0; i < p; ++i) {
      for (Index j = 0; j < p; ++j) {
        within_xx(i, j) = sums.xx_within(i + j * p, d);
        total_xx(i, j) = within_xx(i, j) + sums.xx_between(i + j * p, d) - sums.x_shift(i, d) * sums.x_shift(j, d) / n;
      }
    }
    within = Regression::Create(within_xx, all);
    total = Regression::Create(total_xx, all);
    for (const std::vector<Index>& columns : without) reduced.push_back(Regression::Create(within_xx, columns));
  }
  double n;
  std::optional<Regression> within;
  std::optional<Regression> total;
  std::vector<std::optional<Regression>> reduced;  // by covariate that is left out
};

// Median over batches of |ln(s_b / s)| for feature f, with the slopes beta.
double LogScaleRatio(const std::vector<Moments>& by_batch, Index f, const VectorXd& beta, std::vector<double>* scratch) {
  const Index p = beta.size();
  std::vector<double>& rss = scratch[0];
  std::vector<double>& freedom = scratch[1];
  std::vector<double>& ratios = scratch[2];
  rss.clear();
  freedom.clear();
  ratios.clear();
  double total_rss = 0;
  double total_freedom = 0;
  for (const Moments& batch : by_batch) {
    const Index column = batch.DesignColumn(f);
    if (batch.count[column] < 2) continue;
    rss.push_back(ResidualSumOfSquares(batch.xx.data() + column * p * p, batch.xy.data() + f * p, batch.yy[f], beta.data(), p));
    freedom.push_back(batch.count[column] - 1);
    total_rss += rss.back();
    total_freedom += freedom.back();
  }
  for (std::size_t b = 0; b < rss.size(); ++b) {
    if (rss[b] > 0) ratios.push_back(std::abs(0.5 * std::log((rss[b] / freedom[b]) / (total_rss / total_freedom))));
  }
  return MedianInPlace(ratios);
}

}  // namespace

ScatterSums::ScatterSums(Index p, Index features, bool per_feature)
    : count(Eigen::ArrayXd::Zero(per_feature ? features : 1)),
      x_shift(Eigen::ArrayXXd::Zero(p, per_feature ? features : 1)),
      xx_within(Eigen::ArrayXXd::Zero(p * p, per_feature ? features : 1)),
      xx_between(Eigen::ArrayXXd::Zero(p * p, per_feature ? features : 1)),
      y_shift(Eigen::ArrayXd::Zero(features)),
      xy_within(Eigen::ArrayXXd::Zero(p, features)),
      xy_between(Eigen::ArrayXXd::Zero(p, features)),
      yy_within(Eigen::ArrayXd::Zero(features)),
      yy_between(Eigen::ArrayXd::Zero(features)) {}

void ScatterSums::AddBatch(const Moments& batch, const Eigen::Ref<const Eigen::ArrayXd>& x_centre,
                           const Eigen::Ref<const Eigen::ArrayXd>& y_centre) {
  const Index p = batch.p();
  for (Index d = 0; d < count.size(); ++d) {
    const double n = batch.count[d];
    count[d] += n;
    for (Index i = 0; i < p; ++i) {
      const double shift_i = batch.x_mean(i, d) - x_centre[i];
      x_shift(i, d) += n * shift_i;
      for (Index j = 0; j < p; ++j) {
        xx_within(i + j * p, d) += batch.xx(i + j * p, d);
        xx_between(i + j * p, d) += n * shift_i * (batch.x_mean(j, d) - x_centre[j]);
      }
    }
  }
  for (Index f = 0; f < batch.features(); ++f) {
    const Index d = batch.DesignColumn(f);
    const double n = batch.count[d];
    const double shift = batch.y_mean[f] - y_centre[f];
    y_shift[f] += n * shift;
    yy_within[f] += batch.yy[f];
    yy_between[f] += n * shift * shift;
    for (Index i = 0; i < p; ++i) {
      xy_within(i, f) += batch.xy(i, f);
      xy_between(i, f) += n * (batch.x_mean(i, d) - x_centre[i]) * shift;
    }
  }
}

Form EvidenceForm(const StudyFacts& facts, bool scale_ratios) {
  const auto f = static_cast<Index>(facts.features.size());
  Form form = {{"tested", BlockKind::kCount, 1, f},
               {"count", BlockKind::kCount, 1, f},
               {"batches", BlockKind::kCount, 1, 1},
               {"subjects", BlockKind::kCount, 1, 1}};
  for (const char* phase : kPhases) {
    form.push_back({absl::StrCat(phase, "f"), BlockKind::kSum, 1, f});
    form.push_back({absl::StrCat(phase, "partial_eta_squared"), BlockKind::kSum, 1, f});
    form.push_back({absl::StrCat(phase, "covariate_f"), BlockKind::kSum, static_cast<Index>(facts.covariates.size()), f});
    if (scale_ratios) form.push_back({absl::StrCat(phase, "log_scale_ratio"), BlockKind::kSum, 1, f});
  }
  return form;
}

void WriteFigures(const StudyFacts& facts, const std::string& phase, const ScatterSums& sums, double batches,
                  const std::vector<Moments>& by_batch, Index first, Blocks& evidence) {
  const std::vector<DesignColumn> columns = DesignColumns(facts.covariates);
  const auto p = static_cast<Index>(columns.size());
  std::vector<Index> all(columns.size());
  std::vector<std::vector<Index>> without(facts.covariates.size());  // columns of the other covariates
  for (std::size_t i = 0; i < columns.size(); ++i) {
    all[i] = static_cast<Index>(i);
    for (std::size_t c = 0; c < without.size(); ++c) {
      if (columns[i].covariate != c) without[c].push_back(static_cast<Index>(i));
    }
  }
  auto tested = evidence.Mutable("tested");
  auto f_values = evidence.Mutable(phase + "f");
  auto eta = evidence.Mutable(phase + "partial_eta_squared");
  auto covariate_f = evidence.Mutable(phase + "covariate_f");
  const bool scale_ratios = evidence.Has(phase + "log_scale_ratio");

  std::optional<Designs> designs;
  VectorXd within_xy(p);
  VectorXd total_xy(p);
  std::vector<double> scratch[3];
  std::optional<Eigen::Map<MatrixXd>> log_scale_ratio;
  if (scale_ratios) log_scale_ratio.emplace(evidence.Mutable(phase + "log_scale_ratio"));
  for (Index k = 0; k < sums.y_shift.size(); ++k) {
    const Index f = first + k;
    if (tested(0, f) == 0) continue;
    const Index d = sums.count.size() == 1 ? 0 : k;
    if (!designs || d > 0) designs.emplace(sums, d, p, all, without);
    const double n = designs->n;
    const double freedom = n - batches - static_cast<double>(p);
    for (Index i = 0; i < p; ++i) {
      within_xy[i] = sums.xy_within(i, k);
      total_xy[i] = within_xy[i] + sums.xy_between(i, k) - sums.x_shift(i, d) * sums.y_shift[k] / n;
    }
    const double total_yy = sums.yy_within[k] + sums.yy_between[k] - sums.y_shift[k] * sums.y_shift[k] / n;
    const double full = designs->within ? designs->within->Residual(within_xy, sums.yy_within[k]) : 0;
    if (!(freedom > 0) || !designs->total || !(full > 0)) {
      tested(0, f) = 0;
      continue;
    }
    const double explained = std::max(designs->total->Residual(total_xy, total_yy) - full, 0.0);
    f_values(0, f) = batches > 1 ? (explained / (batches - 1)) / (full / freedom) : 0;
    eta(0, f) = explained / (explained + full);
    for (std::size_t c = 0; c < without.size(); ++c) {
      const auto q = static_cast<double>(columns.size() - without[c].size());
      if (!designs->reduced[c]) continue;
      const double reduced = designs->reduced[c]->Residual(within_xy, sums.yy_within[k]);
      covariate_f(static_cast<Index>(c), f) = (std::max(reduced - full, 0.0) / q) / (full / freedom);
    }
    bool finite = std::isfinite(f_values(0, f)) && std::isfinite(eta(0, f)) && covariate_f.col(f).allFinite();
    if (scale_ratios) {
      double& ratio = (*log_scale_ratio)(0, f);
      ratio = LogScaleRatio(by_batch, k, designs->within->beta(), scratch);
      finite = finite && std::isfinite(ratio);
      if (!finite) ratio = 0;
    }
    if (finite) continue;
    tested(0, f) = f_values(0, f) = eta(0, f) = 0;
    covariate_f.col(f).setZero();
  }
}

}  // namespace attune

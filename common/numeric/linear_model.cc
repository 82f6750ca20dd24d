// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/linear_model.h"

#include <algorithm>
#include <cmath>

namespace attune {
namespace {

using Eigen::Index;

constexpr double kNoVariation = 1e-20;
constexpr double kDependent = 1e-10;
// A coefficient on the correlation scale below this is rounding, not part of a dependence.
constexpr double kCoefficientOfNote = 1e-5;

}  // namespace

RankProblems FindRankProblems(const Eigen::Ref<const Eigen::MatrixXd>& xx,
                              const Eigen::Ref<const Eigen::VectorXd>& raw_squares) {
  RankProblems problems;
  std::vector<Index> kept;
  for (Index j = 0; j < xx.rows(); ++j) {
    if (!(xx(j, j) > kNoVariation * raw_squares[j])) {
      problems.without_variation.push_back(j);
      continue;
    }
    const auto k = static_cast<Index>(kept.size());
    Eigen::MatrixXd correlation(k, k);
    Eigen::VectorXd with_j(k);
    for (Index a = 0; a < k; ++a) {
      for (Index b = 0; b < k; ++b)
        correlation(a, b) = xx(kept[a], kept[b]) / std::sqrt(xx(kept[a], kept[a]) * xx(kept[b], kept[b]));
      with_j[a] = xx(kept[a], j) / std::sqrt(xx(kept[a], kept[a]) * xx(j, j));
    }
    const Eigen::VectorXd coefficients = k == 0 ? Eigen::VectorXd() : Eigen::VectorXd(correlation.llt().solve(with_j));
    if (k > 0 && 1.0 - with_j.dot(coefficients) <= kDependent) {
      RankProblems::Dependence dependence{j, {}};
      for (Index a = 0; a < k; ++a) {
        if (std::abs(coefficients[a]) > kCoefficientOfNote) dependence.on.push_back(kept[a]);
      }
      problems.dependent.push_back(std::move(dependence));
    } else {
      kept.push_back(j);
    }
  }
  return problems;
}

std::optional<ScatterSolver> ScatterSolver::Create(const Eigen::Ref<const Eigen::MatrixXd>& xx) {
  Eigen::VectorXd scale(xx.rows());
  for (Index j = 0; j < xx.rows(); ++j) {
    if (!(xx(j, j) > 0) || !std::isfinite(xx(j, j))) return std::nullopt;
    scale[j] = 1.0 / std::sqrt(xx(j, j));
  }
  const Eigen::MatrixXd correlation = scale.asDiagonal() * xx * scale.asDiagonal();
  Eigen::LLT<Eigen::MatrixXd> factor(correlation);
  if (factor.info() != Eigen::Success) return std::nullopt;
  return ScatterSolver(std::move(scale), std::move(factor));
}

Eigen::VectorXd ScatterSolver::Solve(const Eigen::Ref<const Eigen::VectorXd>& b) const {
  Eigen::VectorXd solution(scale_.size());
  const Eigen::VectorXd right = b;
  SolveInto(right.data(), solution.data());
  return solution;
}

void ScatterSolver::SolveInto(const double* b, double* solution) const {
  const Index p = scale_.size();
  // Forward and back substitution as plain loops: p is small, and Eigen's own order depends on alignment.
  const auto& l = factor_.matrixLLT();
  for (Index i = 0; i < p; ++i) {
    double value = b[i] * scale_[i];
    for (Index k = 0; k < i; ++k) value -= l(i, k) * solution[k];
    solution[i] = value / l(i, i);
  }
  for (Index i = p - 1; i >= 0; --i) {
    double value = solution[i];
    for (Index k = i + 1; k < p; ++k) value -= l(k, i) * solution[k];
    solution[i] = value / l(i, i);
  }
  for (Index i = 0; i < p; ++i) solution[i] *= scale_[i];
}

double ResidualSumOfSquares(const double* xx, const double* xy, double yy, const double* beta, Index p) {
  double rss = yy;
  for (Index i = 0; i < p; ++i) rss -= 2 * beta[i] * xy[i];
  for (Index j = 0; j < p; ++j) {
    for (Index i = 0; i < p; ++i) rss += beta[i] * xx[i + j * p] * beta[j];
  }
  return std::max(rss, 0.0);
}

}  // namespace attune

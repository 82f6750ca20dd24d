// SPDX-License-Identifier: Apache-2.0
//
// Least squares from scatter matrices: x'x and x'y centred within batches (Frisch-Waugh-Lovell: the batch intercepts are gone).
#ifndef ATTUNE_COMMON_NUMERIC_LINEAR_MODEL_H_
#define ATTUNE_COMMON_NUMERIC_LINEAR_MODEL_H_

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <optional>
#include <vector>

namespace attune {

// What keeps a design from having full rank, by column.
struct RankProblems {
  // Columns without any variation within a batch: constant, or confounded with batch.
  std::vector<Eigen::Index> without_variation;
  // Columns that are linear combinations of columns before them.
  struct Dependence {
    Eigen::Index column;
    std::vector<Eigen::Index> on;
  };
  std::vector<Dependence> dependent;

  bool none() const { return without_variation.empty() && dependent.empty(); }
};

// Judges the rank of the scatter matrix `xx` (p x p) on the correlation scale, before anything is solved. A column has no
// variation when its scatter is at most 1e-20 of `raw_squares` (p: its sum of squares about 0, which sets the size of
// rounding); it depends on others when they explain all but 1e-10 of its variance.
RankProblems FindRankProblems(const Eigen::Ref<const Eigen::MatrixXd>& xx,
                              const Eigen::Ref<const Eigen::VectorXd>& raw_squares);

// A p x p scatter matrix of full rank, factored on the correlation scale. p may be 0.
class ScatterSolver {
 public:
  // Nothing when `xx` is not positive definite.
  static std::optional<ScatterSolver> Create(const Eigen::Ref<const Eigen::MatrixXd>& xx);

  // xx^-1 b for one right side of p entries; the same bytes wherever b lies in memory.
  Eigen::VectorXd Solve(const Eigen::Ref<const Eigen::VectorXd>& b) const;
  // The same, into p entries that the caller has; takes no memory.
  void SolveInto(const double* b, double* solution) const;

 private:
  ScatterSolver(Eigen::VectorXd scale, Eigen::LLT<Eigen::MatrixXd> factor)
      : scale_(std::move(scale)), factor_(std::move(factor)) {}
  Eigen::VectorXd scale_;  // 1 / sqrt of the diagonal
  Eigen::LLT<Eigen::MatrixXd> factor_;
};

// yy - 2 beta'xy + beta'xx beta: the residual sum of squares of y about x beta, never below 0.
double ResidualSumOfSquares(const double* xx, const double* xy, double yy, const double* beta, Eigen::Index p);

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_LINEAR_MODEL_H_

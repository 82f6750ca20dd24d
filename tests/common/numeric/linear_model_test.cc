// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/linear_model.h"

#include <gtest/gtest.h>

#include <Eigen/LU>
#include <cmath>
#include <limits>

#include "tests/support/synthetic.h"

namespace attune {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using testing::Dice;

// n x p numbers, centred; the scatter of columns.
MatrixXd CentredColumns(std::uint64_t seed, Index n, Index p) {
  Dice dice(seed);
  MatrixXd x(n, p);
  for (Index j = 0; j < p; ++j) {
    for (Index i = 0; i < n; ++i) x(i, j) = dice.Normal();
  }
  return x.rowwise() - x.colwise().mean();
}

RankProblems ProblemsOf(const MatrixXd& centred) {
  const MatrixXd xx = centred.transpose() * centred;
  return FindRankProblems(xx, xx.diagonal());
}

TEST(FindRankProblems, FullRank_None) {
  EXPECT_TRUE(ProblemsOf(CentredColumns(1, 40, 5)).none());
  EXPECT_TRUE(FindRankProblems(MatrixXd(0, 0), VectorXd(0)).none());
  MatrixXd scaled = CentredColumns(1, 40, 3);
  scaled.col(0) *= 1e-9;
  scaled.col(2) *= 1e9;
  EXPECT_TRUE(ProblemsOf(scaled).none()) << "scale is not rank";
}

TEST(FindRankProblems, ZeroColumn_WithoutVariation) {
  MatrixXd x = CentredColumns(2, 40, 3);
  x.col(1).setZero();
  const RankProblems problems = ProblemsOf(x);
  EXPECT_EQ(problems.without_variation, std::vector<Index>{1});
  EXPECT_TRUE(problems.dependent.empty());
}

TEST(FindRankProblems, RoundingIsNoVariation) {
  // What centring leaves of a constant 1e6: about the square of 1e-10, against a raw square of 1e12 per person.
  MatrixXd xx = MatrixXd::Identity(2, 2);
  xx(1, 1) = 40 * 1e-20;
  VectorXd raw(2);
  raw << 1, 40 * 1e12;
  EXPECT_EQ(FindRankProblems(xx, raw).without_variation, std::vector<Index>{1});
}

TEST(FindRankProblems, Dependence_NamesItsColumns) {
  MatrixXd x = CentredColumns(3, 40, 5);
  x.col(3) = 2 * x.col(0) - 1e6 * x.col(2);
  x.col(0) *= 1e6;
  const RankProblems problems = ProblemsOf(x);
  EXPECT_TRUE(problems.without_variation.empty());
  ASSERT_EQ(problems.dependent.size(), 1);
  EXPECT_EQ(problems.dependent[0].column, 3);
  // Column 0 has a part of 2e-6 in the correlation: below what is worth naming.
  EXPECT_EQ(problems.dependent[0].on, std::vector<Index>{2});
}

TEST(FindRankProblems, TwoDependences) {
  MatrixXd x = CentredColumns(4, 40, 4);
  x.col(1) = -x.col(0);
  x.col(3) = x.col(0) + x.col(2);
  const RankProblems problems = ProblemsOf(x);
  ASSERT_EQ(problems.dependent.size(), 2);
  EXPECT_EQ(problems.dependent[0].column, 1);
  EXPECT_EQ(problems.dependent[0].on, std::vector<Index>{0});
  EXPECT_EQ(problems.dependent[1].column, 3);
  EXPECT_EQ(problems.dependent[1].on, (std::vector<Index>{0, 2}));
}

TEST(FindRankProblems, NumbersThatAreNone_AreProblems) {
  MatrixXd xx = MatrixXd::Identity(2, 2);
  xx(0, 0) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(FindRankProblems(xx, VectorXd::Ones(2)).without_variation, std::vector<Index>{0});
  xx(0, 0) = -1;
  EXPECT_EQ(FindRankProblems(xx, VectorXd::Ones(2)).without_variation, std::vector<Index>{0});
}

TEST(ScatterSolver, SolvesAndSurvivesScale) {
  for (const double scale : {1.0, 1e8, 1e-8}) {
    MatrixXd x = CentredColumns(5, 30, 4);
    x.col(1) *= scale;
    const MatrixXd xx = x.transpose() * x;
    const VectorXd expected = VectorXd::LinSpaced(4, 1, 4).cwiseQuotient(Eigen::Vector4d(1, scale, 1, 1));
    const auto solver = ScatterSolver::Create(xx);
    ASSERT_TRUE(solver.has_value());
    const VectorXd solution = solver->Solve(xx * expected);
    for (Index i = 0; i < 4; ++i) EXPECT_NEAR(solution[i] / expected[i], 1, 1e-12);
  }
}

TEST(ScatterSolver, NoColumns) {
  const auto solver = ScatterSolver::Create(MatrixXd(0, 0));
  ASSERT_TRUE(solver.has_value());
  EXPECT_EQ(solver->Solve(VectorXd(0)).size(), 0);
}

TEST(ScatterSolver, NotPositiveDefinite_Nothing) {
  MatrixXd xx(2, 2);
  xx << 1, 2, 2, 1;
  EXPECT_FALSE(ScatterSolver::Create(xx).has_value());
  xx << 0, 0, 0, 1;
  EXPECT_FALSE(ScatterSolver::Create(xx).has_value());
  xx << std::numeric_limits<double>::infinity(), 0, 0, 1;
  EXPECT_FALSE(ScatterSolver::Create(xx).has_value());
  xx << std::nan(""), 0, 0, 1;
  EXPECT_FALSE(ScatterSolver::Create(xx).has_value());
}

TEST(ScatterSolver, SameBytesWhereverTheRightSideLies) {
  const MatrixXd x = CentredColumns(6, 30, 7);
  const auto solver = ScatterSolver::Create(x.transpose() * x);
  std::vector<double> memory(16, 0.3);
  const VectorXd first = solver->Solve(Eigen::Map<const VectorXd>(memory.data(), 7));
  for (std::size_t offset = 1; offset < 8; ++offset) {
    EXPECT_EQ(solver->Solve(Eigen::Map<const VectorXd>(memory.data() + offset, 7)), first);
  }
}

TEST(ResidualSumOfSquares, ByHand) {
  const double xx[] = {2, 1, 1, 3};
  const double xy[] = {4, 5};
  const double beta[] = {1, 2};
  // 100 - 2 (1*4 + 2*5) + (1*2*1 + 2*(1*1*2) + 2*3*2)
  EXPECT_EQ(ResidualSumOfSquares(xx, xy, 100, beta, 2), 100 - 28 + 18);
  EXPECT_EQ(ResidualSumOfSquares(nullptr, nullptr, 7, nullptr, 0), 7);
  EXPECT_EQ(ResidualSumOfSquares(xx, xy, 0, beta, 2), 0) << "never below 0";
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/evidence/site_effect.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/whole_moments.h"

namespace attune {
namespace {

// One feature in a batch without covariates.
Moments Batch(const std::vector<double>& values) {
  MomentTree tree(0, 1, false, 0, 1);
  for (const double value : values) tree.Add({}, std::span(&value, 1));
  return testing::WholeMoments(std::move(tree));
}

Blocks FiguresOf(const std::vector<Moments>& batches, double centre) {
  StudyFacts facts;
  facts.features = {"f"};
  ScatterSums sums(0, 1, false);
  for (const Moments& batch : batches) sums.AddBatch(batch, Eigen::ArrayXd(0), Eigen::ArrayXd::Constant(1, centre));
  Blocks evidence = Blocks::Zero(EvidenceForm(facts, true));
  evidence.Mutable("tested").setOnes();
  WriteFigures(facts, "before.", sums, static_cast<double>(batches.size()), batches, 0, evidence);
  return evidence;
}

TEST(WriteFigures, OneWayAnova_ByHand) {
  // Means 2, 5, 8 about 5: between 3 * (9 + 0 + 9) = 54 with 2 degrees; within 3 * 2 = 6 with 6.
  for (const double centre : {0.0, 5.0, -100.0}) {
    const Blocks evidence = FiguresOf({Batch({1, 2, 3}), Batch({4, 5, 6}), Batch({7, 8, 9})}, centre);
    EXPECT_EQ(evidence["tested"](0, 0), 1);
    EXPECT_NEAR(evidence["before.f"](0, 0), (54 / 2.0) / (6 / 6.0), 1e-9);
    EXPECT_NEAR(evidence["before.partial_eta_squared"](0, 0), 54 / 60.0, 1e-12);
    EXPECT_NEAR(evidence["before.log_scale_ratio"](0, 0), 0, 1e-12);
  }
}

TEST(WriteFigures, ScaleRatio_ByHand) {
  // Variances 1, 4 and 16, all with 2 degrees of freedom; the pooled one is 7: ratios sqrt 7, sqrt(7/4), sqrt(16/7).
  const Blocks evidence = FiguresOf({Batch({1, 2, 3}), Batch({0, 2, 4}), Batch({-2, 2, 6})}, 2);
  EXPECT_NEAR(evidence["before.log_scale_ratio"](0, 0), 0.5 * std::log(16 / 7.0), 1e-12);
  EXPECT_NEAR(evidence["before.f"](0, 0), 0, 1e-12);
}

TEST(WriteFigures, NoResidual_IsNotTested) { EXPECT_EQ(FiguresOf({Batch({1, 1, 1}), Batch({2, 2, 2})}, 0)["tested"](0, 0), 0); }

TEST(WriteFigures, NoDegreesOfFreedom_IsNotTested) { EXPECT_EQ(FiguresOf({Batch({1}), Batch({2})}, 0)["tested"](0, 0), 0); }

}  // namespace
}  // namespace attune

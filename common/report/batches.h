// SPDX-License-Identifier: Apache-2.0
//
// What is known of single batches, under per_batch only: who is in them, and how each was corrected (combat/1).
#ifndef ATTUNE_COMMON_REPORT_BATCHES_H_
#define ATTUNE_COMMON_REPORT_BATCHES_H_

#include <Eigen/Core>
#include <functional>
#include <vector>

#include "attune/v1/report.pb.h"
#include "common/methods/combat/form.h"
#include "common/report/report.h"

namespace attune {

// A level with fewer subjects, but not none, is too few to show.
inline constexpr double kFewestShown = 5;

// One batch's parameters of one feature, and its mean about all others', in pooled standard deviations.
struct BatchFeature {
  double gamma_hat;
  double gamma;
  double delta2_hat;
  double delta2;
  double mean_before;
  double mean_after;
};

// Of every batch, in order of name; NaN where the feature was left as it is.
std::vector<BatchFeature> BatchesOfFeature(const ReportInput& input, const combat::Setup& setup, Eigen::Index feature);

// `features`: the detailed ones, as numbers in the study.
v1::BatchFigures FiguresOfBatches(const ReportInput& input, const combat::Setup& setup,
                                  const std::vector<Eigen::Index>& features);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_BATCHES_H_

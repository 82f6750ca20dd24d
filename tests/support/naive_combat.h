// SPDX-License-Identifier: Apache-2.0
//
// ComBat and its evidence as one would write them with all rows of all sites on one's desk: one dense design matrix with an
// indicator per batch, residuals per subject, loops. Shares nothing with the product's arithmetic, and is never fast.
#ifndef ATTUNE_TESTS_SUPPORT_NAIVE_COMBAT_H_
#define ATTUNE_TESTS_SUPPORT_NAIVE_COMBAT_H_

#include <vector>

#include "common/kernel/study_facts.h"
#include "tests/support/memory_cohort.h"

namespace attune::testing {

enum class NaivePrior { kParametric, kNonparametric, kNone };

struct NaiveOptions {
  NaivePrior prior = NaivePrior::kParametric;
  bool mean_only = false;
  BatchId reference;        // empty: none
  int min_batch_size = 10;  // batches below it are corrected in location only
};

struct NaiveResult {
  std::vector<std::vector<double>> values;  // the harmonized rows, in the order given
  std::vector<bool> adjusted;               // per feature; false: left as it is everywhere
};

// Estimated on the rows with fit, applied to all. NaN is a missing value.
NaiveResult NaiveCombat(const std::vector<Row>& rows, const NaiveOptions& options);

// Of one feature, from the rows with fit that have it.
struct NaiveFigures {
  double count = 0;
  double f = 0;  // of batch given the covariates
  double partial_eta_squared = 0;
  std::vector<double> covariate_f;  // per covariate, given batch and the other covariates
  double log_scale_ratio = 0;       // median over batches of |ln(s_b / s)|
};

// `values`: of the rows, before or after harmonization.
NaiveFigures FiguresOfFeature(const std::vector<Row>& rows, const std::vector<std::vector<double>>& values, std::size_t feature,
                              const std::vector<Covariate>& covariates);

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_NAIVE_COMBAT_H_

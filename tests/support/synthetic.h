// SPDX-License-Identifier: Apache-2.0
//
// Made-up studies with known site, age and other covariate effects: the same rows for the same options, on every machine.
#ifndef ATTUNE_TESTS_SUPPORT_SYNTHETIC_H_
#define ATTUNE_TESTS_SUPPORT_SYNTHETIC_H_

#include <Eigen/Core>
#include <cstdint>
#include <random>
#include <vector>

#include "common/kernel/study_facts.h"
#include "tests/support/memory_cohort.h"

namespace attune::testing {

// A seeded source of numbers. The distributions are written out, since those of the standard library differ between libraries.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  double Uniform();                      // [0, 1)
  double Normal();                       // mean 0, variance 1
  std::size_t Below(std::size_t count);  // 0 .. count - 1
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

struct SyntheticOptions {
  std::uint64_t seed = 1;
  std::vector<int> batches_per_site = {1, 2, 3};
  int subjects_per_batch = 20;  // batch k has k % 4 more
  int features = 12;
  int covariates = 3;         // the first so many of: age (continuous), sex (2 levels), dx (3 levels)
  double base = 100;          // mean of all features
  double location_sd = 1.0;   // of a batch's shift
  double log_scale_sd = 0.3;  // of the logarithm of a batch's scale
  double noise_sd = 1.0;
  double missing_rate = 0;
};

// y = base + age_slope (age - 50) + effects of the other covariates + location + scale * noise.
struct SyntheticStudy {
  StudyFacts facts;  // per_batch, options empty
  std::vector<Row> rows;
  Eigen::MatrixXd location;   // batches x features, in the order of facts.batches
  Eigen::VectorXd age_slope;  // features
};

SyntheticStudy MakeSynthetic(const SyntheticOptions& options);

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_SYNTHETIC_H_

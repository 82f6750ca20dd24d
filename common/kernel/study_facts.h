// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_KERNEL_STUDY_FACTS_H_
#define ATTUNE_COMMON_KERNEL_STUDY_FACTS_H_

#include <string>
#include <vector>

#include "common/kernel/batch_id.h"
#include "common/kernel/feature_names.h"

namespace attune {

// What the coordinator sees: the filled form of each batch, or only the sum over all batches of all sites.
enum class Release { kPerBatch, kPooled };

// A covariate as the study declares it.
struct Covariate {
  std::string name;
  std::string unit;                 // continuous only; for people
  std::vector<std::string> levels;  // categorical: at least two, the first is the reference; empty: continuous

  bool categorical() const { return !levels.empty(); }
};

// What a method may know of a study; the same at the coordinator and at every site, for it follows from the frozen manifest.
struct StudyFacts {
  FeatureNames features;  // F names, in the order of every per-feature block
  std::vector<Covariate> covariates;
  std::vector<BatchId> batches;  // sorted
  Release release = Release::kPerBatch;
  int min_batch_size = 10;
  std::string options;  // the method's own options message, serialized
};

// One column of the design matrix: a continuous covariate, or the indicator of one non-reference level.
struct DesignColumn {
  std::string name;       // "age", "sex[M]"
  std::size_t covariate;  // index into the covariates
  std::size_t level;      // index into the levels; 0 for a continuous covariate
};

// The p columns of the design, in the order of the covariates and of their levels; no intercept.
std::vector<DesignColumn> DesignColumns(const std::vector<Covariate>& covariates);

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_STUDY_FACTS_H_

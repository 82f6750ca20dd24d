// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_KERNEL_COHORT_H_
#define ATTUNE_COMMON_KERNEL_COHORT_H_

#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/kernel/batch_id.h"

namespace attune {

// One row of a site's own data. The spans are valid during the call that receives the subject.
struct Subject {
  std::string id;      // the participant_id; never leaves the site
  std::string person;  // whom the row is of; equals id where nobody has several rows
  BatchId batch;
  bool fit = true;                     // whether the model is estimated on this subject (the study's fit_on)
  std::span<const double> covariates;  // p entries, the columns of the design
  std::span<const double> values;      // F entries in the features' own units; NaN: missing
};

// A site's own subjects, one at a time, never all in memory.
class Cohort {
 public:
  virtual ~Cohort() = default;

  // Calls `visit` once per subject, in order of id (by bytes), so that the same people give the same sums whatever the order
  // of the rows. Stops at the first error and returns it.
  virtual absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const = 0;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_COHORT_H_

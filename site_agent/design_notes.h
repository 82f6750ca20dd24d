// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_DESIGN_NOTES_H_
#define ATTUNE_SITE_AGENT_DESIGN_NOTES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kernel/cohort.h"
#include "common/kernel/study_facts.h"

namespace attune {

// What a site can tell of its own covariates before anything is sent, in sentences: columns that do not vary within any of its
// batches, and columns that depend on each other there. Neither is an error at one site, for the others may tell them apart.
// One pass; memory: p x p per batch.
absl::StatusOr<std::vector<std::string>> DescribeDesign(const std::vector<Covariate>& covariates, const Cohort& cohort);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_DESIGN_NOTES_H_

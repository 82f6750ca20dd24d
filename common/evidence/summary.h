// SPDX-License-Identifier: Apache-2.0
//
// The few figures that say whether harmonization helped, from the per-feature figures of site_effect.h.
#ifndef ATTUNE_COMMON_EVIDENCE_SUMMARY_H_
#define ATTUNE_COMMON_EVIDENCE_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"

namespace attune {

// The level at which a feature counts as affected, after Benjamini & Hochberg (1995).
inline constexpr double kFalseDiscoveryRate = 0.05;

struct EvidenceSummary {
  struct Phase {
    std::int64_t tested = 0;             // features with a figure: those that were adjusted
    std::int64_t with_batch_effect = 0;  // ANCOVA F of batch given the covariates, at kFalseDiscoveryRate
    double median_partial_eta_squared = 0;
    std::optional<double> median_scale_ratio;      // absent when the release is pooled
    std::vector<std::int64_t> covariate_features;  // per covariate of the study: features associated with it
  };
  Phase before;
  Phase after;
  std::int64_t subjects = 0;
};

// `evidence`: the blocks that Correction::evidence holds (site_effect.h). Fails with InvalidArgument when they are not those of
// this study.
absl::StatusOr<EvidenceSummary> Summarize(const Blocks& evidence, const StudyFacts& facts);

}  // namespace attune

#endif  // ATTUNE_COMMON_EVIDENCE_SUMMARY_H_

// SPDX-License-Identifier: Apache-2.0
//
// Did it help? The figures of summary.json, from a study's evidence.
#ifndef ATTUNE_COORDINATOR_SUMMARY_H_
#define ATTUNE_COORDINATOR_SUMMARY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/outputs.pb.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"

namespace attune {

// Fails with InvalidArgument when the evidence is not of this study.
absl::StatusOr<v1::StudySummary> MakeSummary(const v1::Manifest& manifest, const std::string& manifest_sha256,
                                             const Blocks& evidence, const std::vector<std::string>& notes);

// "per_batch" or "pooled", as in the study file.
std::string ReleaseName(Release release);

// The figures before and after, as an aligned table for people.
std::string FormatSummary(const v1::StudySummary& summary);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SUMMARY_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_ESTIMATE_H_
#define ATTUNE_COORDINATOR_ESTIMATE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/outputs.pb.h"
#include "coordinator/desk.h"

namespace attune {

struct Estimate {
  std::map<std::string, v1::ModelFile> models;  // by site
  std::optional<v1::StudySummary> summary;      // where the method gives evidence
};

// A study from its answer files alone, without a journal. `manifest`: canonical bytes. `answers`: one file of each site on the
// roster. `scratch`: a path for a file that is written and removed.
// Fails with FailedPrecondition when the release is pooled (only the sites can fit their batches then), when a site's answer is
// missing, or when the method asks a second round; with InvalidArgument when an answer is not one to this study's first
// question, or is given twice; and as ParseManifest, Method::Begin, Method::Next and Method::Fit do.
absl::StatusOr<Estimate> EstimateFromFiles(absl::string_view manifest, const std::vector<std::string>& answers,
                                           const Desk::MethodFinder& find_method, const std::string& scratch);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_ESTIMATE_H_

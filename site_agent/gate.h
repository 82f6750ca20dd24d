// SPDX-License-Identifier: Apache-2.0
//
// The disclosure gate: everything that must hold before an answer leaves this site. It trusts the approved manifest and nothing
// that the coordinator says later. Messages name batches, counts and features, never a person or a value.
#ifndef ATTUNE_SITE_AGENT_GATE_H_
#define ATTUNE_SITE_AGENT_GATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attune/v1/policy.pb.h"
#include "attune/v1/site_state.pb.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/method.h"
#include "common/security/aggregation.h"
#include "site_agent/site_study.h"
#include "site_agent/tables/site_data.h"

namespace attune {

// The manifest must be the one that was approved here. PermissionDenied tells the command.
absl::Status CheckApproved(absl::string_view study, absl::string_view manifest_sha256,
                           const std::optional<v1::Approval>& approval);

// A pooled release promises that the coordinator sees no site's own sum: the manifest must ask for secure aggregation, in terms
// that protect its sites (aggregation_terms.h). PermissionDenied when it does not, unless `plain_sums` asks for plain sums and
// the consortium is the simulated one.
absl::Status CheckRelease(const v1::Manifest& manifest, bool plain_sums);

// Where the manifest asks for secure aggregation, its roster must name the key of this site's certificate. FailedPrecondition.
absl::Status CheckSigner(const SiteStudy& study, const aggregation::Signer& signer);

// Round 1 must ask exactly what the method asks first of the approved study; later rounds only for sums and counts.
// PermissionDenied says what differs.
absl::Status CheckQuestion(const Method& method, const StudyFacts& facts, const Question& question);

// A later question's body must be one that the method asks, with nothing beyond: what the method itself says of it, before any
// data are read. PermissionDenied says what differs.
absl::Status CheckBody(const Method& method, const StudyFacts& facts, const Question& question, const BatchId& batch,
                       const SiteState& state);

// Every batch has min_batch_size people to estimate on, unless the study corrects small batches in location only.
// FailedPrecondition naming batch, count, threshold and remedies.
absl::Status CheckBatchSizes(const v1::StudyConfig& study, const std::vector<BatchCount>& batches);

// What of a study's missing values is permitted: the policy's standing rule, narrowed by what was approved by name. Without an
// approval: as far as the policy goes, for people who have yet to decide.
v1::MissingPermission PermittedMissing(const v1::SitePolicy& policy, const std::optional<v1::Approval>& approval);

// Under "missing: allow": policy and approval permit it, and no two features differ in 1 to min_cell - 1 of the people of a
// batch that are estimated on, unless any difference is permitted. PermissionDenied names the features and the remedy. One
// pass, and that only where it matters; memory: one number per feature, and one bit per person and distinct pattern of absence,
// of which there may be 4096 a batch.
absl::Status CheckMissing(const v1::StudyConfig& study, const v1::SitePolicy& policy,
                          const std::optional<v1::Approval>& approval, const FeatureNames& features, const Cohort& cohort);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_GATE_H_

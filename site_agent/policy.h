// SPDX-License-Identifier: Apache-2.0
//
// policy.yaml: what a site lets leave, whatever a study asks (docs/policy.md). The rules themselves are policy_rules.h.
#ifndef ATTUNE_SITE_AGENT_POLICY_H_
#define ATTUNE_SITE_AGENT_POLICY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/policy.pb.h"
#include "attune/v1/site_state.pb.h"

namespace attune {

// No policy goes below these, but one of the simulator.
inline constexpr std::uint32_t kFloorSubjects = 5;
inline constexpr std::uint32_t kFloorCell = 3;
inline constexpr std::uint32_t kFloorSites = 2;
// What two releases differ by is a sum over as many people.
inline constexpr std::uint32_t kFloorReleaseDifference = kFloorSubjects;

// Reads and checks `path`; what it leaves unsaid is filled in (min_sites stays unsaid: its default is the release's).
// FailedPrecondition, telling the command, when there is no such file; InvalidArgument (file, line or key, floor) when it
// cannot be one.
absl::StatusOr<v1::SitePolicy> ReadPolicy(const std::string& path);

// The same for the text of a file called `name`.
absl::StatusOr<v1::SitePolicy> ParsePolicy(absl::string_view text, absl::string_view name);

// What a policy without any key says: the defaults, and nothing allowed.
v1::SitePolicy DefaultPolicy();

// The sites that the roster of a study with this release must have.
std::uint32_t MinSitesOf(const v1::SitePolicy& policy, v1::Release release);

// PermissionDenied when the policy is the simulator's and the consortium is not.
absl::Status CheckPermissive(const v1::SitePolicy& policy, absl::string_view consortium);

// Whether policy.yaml lists this manifest as approved.
bool ApprovesManifest(const v1::SitePolicy& policy, absl::string_view manifest_sha256);

// The approval that this amounts to: without any of the agreements that have to be given by name.
v1::Approval ApprovalByPolicy(absl::string_view manifest_sha256);

// A policy.yaml to begin with: a comment for each rule, the defaults, and lists that allow nothing; with a study, lists,
// release and missing that allow what it asks.
std::string PolicyTemplate(const v1::StudyConfig* study);

// The rules in force in words, for people; lines that end with '\n'.
std::string DescribePolicy(const v1::SitePolicy& policy);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_POLICY_H_

// SPDX-License-Identifier: Apache-2.0
//
// What follows from the sums that the coordinator shows. A site does not take its word for the parameters of a later round or
// for the correction: it computes them itself, so that nobody can put a question of his own choice in their place.
#ifndef ATTUNE_SITE_AGENT_FOLLOW_H_
#define ATTUNE_SITE_AGENT_FOLLOW_H_

#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kernel/method.h"
#include "site_agent/site_study.h"

namespace attune {

// The question or the correction that follows from the sums of rounds 1, 2, ... at `sum_paths`, whose questions lie at
// QuestionPath. PermissionDenied when a sum is of fewer sites than the manifest's threshold, of one that is not on its roster,
// or (round 1) without this site; and when it does not end in the round after the last sum. Otherwise fails as OpenSum and
// Method::Next do.
absl::StatusOr<std::variant<Question, Correction>> FollowSums(const SiteStudy& study,
                                                              const std::vector<std::string>& sum_paths);

// Whether what came is what this site computed itself, to the last bits, which another CPU family may move: PermissionDenied
// when it is not. `what` names it.
absl::Status CheckSame(const Blocks& came, const Blocks& computed, absl::string_view what);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_FOLLOW_H_

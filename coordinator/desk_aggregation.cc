// SPDX-License-Identifier: Apache-2.0
//
// The turns of a site while a round runs under secure aggregation (docs/protocol.md).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/aggregation_outcome.h"
#include "coordinator/desk.h"
#include "coordinator/desk_internal.h"

namespace attune {

absl::Status Desk::AddAggregationTask(const StudyStatus& status, const std::string& site, v1::NextReply& reply) const {
  const RoundRecord& round = status.rounds.back();
  const AggregationRecord& record = round.aggregation;
  reply.set_attempt(record.attempt);
  reply.set_step(record.step);
  const bool expected = std::binary_search(record.expected.begin(), record.expected.end(), site);
  const std::vector<std::string> delivered = record.Delivered();
  if (!expected || std::binary_search(delivered.begin(), delivered.end(), site)) {
    reply.set_task(v1::NextReply::TASK_WAIT);
    reply.set_message(absl::StrCat(expected ? "" : "this attempt goes on without this site, which came too late for it; ",
                                   "step ", static_cast<int>(record.step), " of 5 of round ", status.round(), " waits for ",
                                   status.WaitingFor().size(), " of ", record.expected.size(), " sites, until ",
                                   status.Deadline()));
    return absl::OkStatus();
  }
  reply.set_task(v1::NextReply::TASK_AGGREGATE);
  std::vector<std::string> bundles{round.question_sha256};
  if (record.step >= v1::AGGREGATION_STEP_SHARES) bundles.push_back(record.key_roster_sha256);
  if (record.step >= v1::AGGREGATION_STEP_MASKED) bundles.push_back(record.shares_for.at(site));
  if (record.step >= v1::AGGREGATION_STEP_CONSISTENCY) bundles.push_back(record.survivors_sha256);
  if (record.step >= v1::AGGREGATION_STEP_UNMASK) bundles.push_back(record.signatures_sha256);
  for (const std::string& sha256 : bundles) ATTUNE_RETURN_IF_ERROR(AddBundle(sha256, *reply.add_bundles()));
  return absl::OkStatus();
}

absl::Status Desk::ReportLostSession(absl::string_view site, const v1::ReportRequest& request) {
  return Record(request.study(), [&](const StudyStatus& status) -> absl::StatusOr<std::vector<JournalEntry>> {
    ATTUNE_RETURN_IF_ERROR(CheckMember(status, site, request.manifest_sha256()));
    if (!status.masked || status.state != v1::STUDY_STATE_RUNNING || status.round() != request.round()) {
      return std::vector<JournalEntry>();
    }
    const AggregationRecord& record = status.rounds.back().aggregation;
    const bool concerned = record.attempt == request.attempt() &&
                           std::binary_search(record.expected.begin(), record.expected.end(), std::string(site));
    if (!concerned) return std::vector<JournalEntry>();
    return std::vector<JournalEntry>{NextAttempt(status, absl::StrCat("site '", site, "' lost the keys of the last one"))};
  });
}

}  // namespace attune

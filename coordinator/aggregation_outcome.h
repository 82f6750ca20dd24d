// SPDX-License-Identifier: Apache-2.0
//
// One step of a round under secure aggregation: what a site's message must be, and what follows when the step is over. Pure
// given the blobs, like round_outcome.h.
#ifndef ATTUNE_COORDINATOR_AGGREGATION_OUTCOME_H_
#define ATTUNE_COORDINATOR_AGGREGATION_OUTCOME_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/method.h"
#include "common/storage/blob_store.h"
#include "common/storage/journal.h"
#include "coordinator/study_book.h"

namespace attune {

// The most attempts at one round: a site that breaks each of them ends the study.
inline constexpr std::uint32_t kMostAttempts = 100;

// The most bytes that a message of a step has, where it is not a masked sum.
inline constexpr std::uint64_t kMaxStepMessageBytes = std::uint64_t{1} << 20;

// What is wrong with the message of `site` for the present step, which lies at `path`; nothing of it was looked at before.
// InvalidArgument, PermissionDenied or DataLoss, naming the reason; local errors of the blobs.
absl::Status CheckStepMessage(const StudyStatus& status, const v1::Manifest& manifest, const std::string& site,
                              const std::string& path, const BlobStore& blobs);

// The entries with which the present step ends with the messages of `sites` (sorted; delivered, and at least the threshold):
// for the last step the sum and what follows from it, as OutcomeOfRound. Where a site's secrets turn out to be false, or the
// sum cannot be known, the next attempt begins. Any error returned is a local one.
absl::StatusOr<std::vector<JournalEntry>> OutcomeOfStep(const StudyStatus& status, const v1::Manifest& manifest,
                                                        const Method& method, const std::vector<std::string>& sites,
                                                        const BlobStore& blobs, const BlobStore& out);

// The entry that begins the next attempt at the present round, or that ends the study when there were too many.
JournalEntry NextAttempt(const StudyStatus& status, const std::string& why);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_AGGREGATION_OUTCOME_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_STUDY_VIEW_H_
#define ATTUNE_COORDINATOR_STUDY_VIEW_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "attune/v1/outputs.pb.h"
#include "common/storage/blob_store.h"
#include "coordinator/study_book.h"

namespace attune {

// The study's figures; nothing before the correction is known, or where the method gives no evidence.
// Fails with DataLoss or NotFound when a blob is damaged or missing.
absl::StatusOr<std::optional<v1::StudySummary>> SummaryOf(const StudyStatus& status, const BlobStore& blobs);

// What `study show` tells. Fails as SummaryOf does.
absl::StatusOr<v1::StudyView> ViewOf(const StudyStatus& status, const BlobStore& blobs);

// For people.
std::string FormatView(const v1::StudyView& view);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_STUDY_VIEW_H_

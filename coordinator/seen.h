// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SEEN_H_
#define ATTUNE_COORDINATOR_SEEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/storage/blob_store.h"
#include "coordinator/study_book.h"

namespace attune {

// What this coordinator could see of a study that has started, in words and numbers for a privacy officer: of each round what
// came from single sites, and what it knows in clear. Fails with DataLoss or NotFound when a blob is damaged or missing.
absl::StatusOr<std::string> DescribeSeen(const StudyStatus& status, const BlobStore& blobs);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SEEN_H_

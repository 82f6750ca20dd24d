// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_STUDY_FREEZE_H_
#define ATTUNE_COORDINATOR_STUDY_FREEZE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/study.pb.h"
#include "common/storage/blob_store.h"
#include "coordinator/study_book.h"

namespace attune {

// What can be wrong with a registration by itself. InvalidArgument: no batch or feature, an empty or repeated name, control
// characters, batches that are not sorted, or other than the one batch "all" where the study names no batch column; with
// images, another mask than the study's.
absl::Status CheckRegistration(const StudyStatus& study, const v1::RegisterRequest& request);

// The manifest that the study's registrations make: sites by name, features in the order of the first site, names of batches
// resolved. Fails with FailedPrecondition when there are fewer than two batches, or when sites have not the same features
// (listing for each site which are missing or additional), and as ResolveBatch does.
absl::StatusOr<v1::Manifest> FreezeManifest(absl::string_view consortium, const StudyStatus& status, const BlobStore& blobs);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_STUDY_FREEZE_H_

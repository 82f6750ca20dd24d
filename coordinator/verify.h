// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_VERIFY_H_
#define ATTUNE_COORDINATOR_VERIFY_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/storage/blob_store.h"
#include "common/storage/journal.h"
#include "coordinator/desk.h"

namespace attune {

// Replays a study from its journal: the chain of entries, the digest of every blob, the manifest from the registrations, the
// first question, and every round's outcome from its answers. `scratch`: an empty store for what is computed again; the study's
// own files are only read. `step` is told each step that held. Fails with DataLoss naming the first step that did not, with
// NotFound for an unknown study, with FailedPrecondition when this program does not have the study's method.
absl::Status VerifyStudy(const std::string& consortium, const std::string& study, const Journal& journal,
                         const BlobStore& blobs, const Desk::MethodFinder& find_method, const BlobStore& scratch,
                         absl::FunctionRef<void(absl::string_view)> step);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_VERIFY_H_

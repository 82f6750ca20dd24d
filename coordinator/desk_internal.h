// SPDX-License-Identifier: Apache-2.0
//
// What the source files of the desk share.
#ifndef ATTUNE_COORDINATOR_DESK_INTERNAL_H_
#define ATTUNE_COORDINATOR_DESK_INTERNAL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/storage/journal.h"
#include "coordinator/study_book.h"

namespace attune {

JournalEntry MakeEntry(const std::string& study, const char* kind, absl::string_view site, std::uint32_t round);

// Whether the site may act in the started study under this manifest. FailedPrecondition: not started, or another manifest.
// PermissionDenied: not on the roster.
absl::Status CheckMember(const StudyStatus& status, absl::string_view site, const std::string& manifest_sha256);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_DESK_INTERNAL_H_

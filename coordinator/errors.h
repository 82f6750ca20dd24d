// SPDX-License-Identifier: Apache-2.0
//
// Which errors a site may read. What goes wrong with this machine's own files is for the coordinator's operator: it names
// paths and digests of other sites' files.
#ifndef ATTUNE_COORDINATOR_ERRORS_H_
#define ATTUNE_COORDINATOR_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// Marks an error of this machine's journal, blobs or configuration. Code and message stay, for logs and commands.
absl::Status LocalError(const absl::Status& status);

// What a site gets to read of `status`: the status itself, or, for a local error or a bug, a neutral one that names nothing.
// Unavailable where the disk is full or another process keeps the journal locked, for that passes while the site waits; else
// Internal.
absl::Status ForPeer(const absl::Status& status);

absl::Status UnknownStudy(absl::string_view study);
absl::Status NotOnRoster(absl::string_view site, absl::string_view study);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_ERRORS_H_

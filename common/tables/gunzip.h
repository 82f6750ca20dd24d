// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TABLES_GUNZIP_H_
#define ATTUNE_COMMON_TABLES_GUNZIP_H_

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/digest.h"
#include "common/tables/descriptor.h"

namespace attune {

// Calls `visit` with the bytes of an open file, from its present position to its end, in pieces of at most 1 MiB.
// `path` is for messages. Fails with Internal when the system cannot read.
absl::Status ReadPieces(const Descriptor& file, const std::string& path,
                        absl::FunctionRef<absl::Status(absl::string_view)> visit);

// What the gzip file expands to (one member or several), in a temporary file that has no name, only its owner may read and that
// vanishes with the descriptor; it lies in $TMPDIR, or /tmp. `digest` takes in the bytes of the gzip file itself. Fails
// with InvalidArgument when the file is not whole and valid gzip, with ResourceExhausted when the disk is full.
absl::StatusOr<Descriptor> Gunzip(const Descriptor& file, const std::string& path, Sha256* digest);

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_GUNZIP_H_

// SPDX-License-Identifier: Apache-2.0
//
// Early return on errors, and the one table that turns an error into a program's exit code.
//
//   ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(path, bytes));
//   ATTUNE_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(path));
//
// Codes are chosen on purpose, everywhere in Attune:
//   InvalidArgument     the caller's data or configuration can never work as it is
//   FailedPrecondition  not now: some state must change first (register, approve, start)
//   NotFound            a named file, study, site, batch or column does not exist
//   AlreadyExists       an output exists and --force was not given
//   PermissionDenied    refused by the disclosure gate, or not this peer's to ask
//   Unauthenticated     no certificate, or one that does not count
//   Unavailable         a peer cannot be reached now: retrying may help
//   DeadlineExceeded    a peer did not answer in time: retrying may help
//   DataLoss            a stored or received file is not what its digest says
//   Internal            a bug of ours, only that
#ifndef ATTUNE_COMMON_BASE_STATUS_H_
#define ATTUNE_COMMON_BASE_STATUS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// `status` with `context` and ": " before its message; code and payloads stay. OK stays OK.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

// Exit codes of every Attune program (README.md).
enum class ExitCode : int {
  kOk = 0,
  kOther = 1,
  kUsage = 2,
  kDataCheck = 3,
  kRefusedByPolicy = 4,
  kPeerOrNetwork = 5,
  kOutputExists = 6,
};

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace attune

// Each macro is one statement; put one on a line (two on the same line collide through __LINE__).
#define ATTUNE_RETURN_IF_ERROR(expression)                                    \
  do {                                                                        \
    if (::absl::Status attune_status_ = (expression); !attune_status_.ok()) { \
      return attune_status_;                                                  \
    }                                                                         \
  } while (false)

#define ATTUNE_ASSIGN_OR_RETURN(declaration, expression) \
  ATTUNE_ASSIGN_OR_RETURN_IMPL_(ATTUNE_CONCAT_(attune_status_or_, __LINE__), declaration, expression)

// ---- Implementation details, do not rely on anything below here. ----
#define ATTUNE_CONCAT_IMPL_(a, b) a##b
#define ATTUNE_CONCAT_(a, b) ATTUNE_CONCAT_IMPL_(a, b)
#define ATTUNE_ASSIGN_OR_RETURN_IMPL_(name, declaration, expression) \
  auto name = (expression);                                          \
  if (!name.ok()) return std::move(name).status();                   \
  declaration = *std::move(name)

#endif  // ATTUNE_COMMON_BASE_STATUS_H_

// SPDX-License-Identifier: Apache-2.0
#include "common/security/keyed_digest.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/file_lock.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/certificates.h"

namespace attune {

std::string KeyedDigest(absl::string_view key, absl::string_view bytes) {
  return absl::BytesToHexString(HmacSha256(key, bytes));
}

absl::StatusOr<std::string> ReadOrMakeKey(const std::string& path) {
  if (!FileExists(path)) {
    // Two that come at once must not make two keys.
    ATTUNE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(path + ".lock"));
    if (!FileExists(path)) {
      ATTUNE_ASSIGN_OR_RETURN(const std::string key, MakeToken());
      ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(path, key + "\n", FileAccess::kOwnerOnly));
    }
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1024));
  const std::string key(absl::StripSuffix(text, "\n"));
  if (IsSha256Hex(key)) return key;
  return absl::DataLossError(absl::StrCat("'", path, "' is damaged: expected a key of 64 hexadecimal digits"));
}

}  // namespace attune

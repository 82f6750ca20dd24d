// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "coordinator/commands/commands.h"

namespace attune {

absl::Status CheckOutputs(const std::vector<std::string>& paths, bool force) {
  if (force) return absl::OkStatus();
  for (const std::string& path : paths) {
    if (FileExists(path)) return absl::AlreadyExistsError(absl::StrCat("'", path, "' exists; use --force to write over it"));
  }
  return absl::OkStatus();
}

}  // namespace attune

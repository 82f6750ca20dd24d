// SPDX-License-Identifier: Apache-2.0
#include "coordinator/peer_version.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/version.h"
#include "common/wire/manifest.h"

namespace attune {
namespace {

constexpr int kMinorOfAggregation = 1;

}  // namespace

absl::StatusOr<int> MinorVersionOf(absl::string_view major, absl::string_view minor) {
  if (major != absl::StrCat(kProtocolVersion)) {
    return absl::FailedPreconditionError(absl::StrCat("the caller's program speaks version ",
                                                      major.empty() ? "(none given)" : absl::StrCat("'", major, "'"),
                                                      " of the protocol, the coordinator speaks version ", kProtocolVersion,
                                                      "; install programs of the same version at both ends"));
  }
  if (minor.empty()) return 0;
  int number = 0;
  if (!absl::SimpleAtoi(minor, &number) || number < 0) {
    return absl::InvalidArgumentError(absl::StrCat("the metadata '", kProtocolMinorMetadataKey, "' is no number"));
  }
  return number;
}

absl::Status CheckKnowsTask(int minor, v1::NextReply::Task task) {
  if (task != v1::NextReply::TASK_AGGREGATE || minor >= kMinorOfAggregation) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this study uses secure aggregation, which the site's program does not know (it speaks protocol ",
                   kProtocolVersion, ".", minor, "): install Attune ", kVersion, " or newer at the site and give 'run' again"));
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/base/text.h"

namespace attune {
namespace {

constexpr char kLocalPayload[] = "attune/local";

}  // namespace

absl::Status LocalError(const absl::Status& status) {
  absl::Status marked = status;
  if (!marked.ok()) marked.SetPayload(kLocalPayload, absl::Cord());
  return marked;
}

absl::Status ForPeer(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    return absl::UnavailableError("the coordinator cannot store data now; its operator has to make room");
  }
  if (absl::IsUnavailable(status) && status.GetPayload(kLocalPayload).has_value()) {
    return absl::UnavailableError("the coordinator is busy; ask again");
  }
  if (status.code() == absl::StatusCode::kInternal || status.GetPayload(kLocalPayload).has_value()) {
    return absl::InternalError("the coordinator has a problem of its own; its operator finds the reason in its log");
  }
  return status;
}

absl::Status UnknownStudy(absl::string_view study) {
  if (!IsPlainName(study)) return absl::NotFoundError("the study is unknown: that is not a study's name");
  return absl::NotFoundError(absl::StrCat("the study '", study, "' is unknown at this coordinator"));
}

absl::Status NotOnRoster(absl::string_view site, absl::string_view study) {
  return absl::PermissionDeniedError(absl::StrCat("the site '", site, "' does not take part in the study '", study,
                                                  "': it had not registered when it started"));
}

}  // namespace attune

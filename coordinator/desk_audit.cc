// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desk_audit.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/keyed_digest.h"

namespace attune {
namespace {

// Names come from peers that may not have enrolled; more than any consortium has are not remembered.
constexpr std::size_t kMaxRemembered = 65536;

AuditFields OutcomeFields(AuditFields fields, const absl::Status& outcome) {
  fields.emplace_back("code", absl::StatusCodeToString(outcome.code()));
  if (!outcome.ok()) fields.emplace_back("message", outcome.message());
  return fields;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeskAudit>> DeskAudit::Open(const std::string& folder) {
  const std::string path = folder + "/audit";
  ATTUNE_RETURN_IF_ERROR(MakeFolder(path, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(std::string key, ReadOrMakeKey(path + "/audit.key"));
  AuditLog log(path, [key = std::move(key)](absl::string_view bytes) { return KeyedDigest(key, bytes); });
  return std::unique_ptr<DeskAudit>(new DeskAudit(std::move(log)));
}

void DeskAudit::Called(absl::string_view site, absl::string_view call, absl::string_view subject, const absl::Status& outcome) {
  const std::string told = absl::StrCat(subject, "\n", outcome.ToString(absl::StatusToStringMode::kWithNoExtraData));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (last_.size() >= kMaxRemembered) last_.clear();
  std::string& last = last_[absl::StrCat(site, "\n", call)];
  if (last == told) return;
  AuditFields fields = {{"site", std::string(site)}, {"call", std::string(call)}};
  if (!subject.empty()) fields.emplace_back("subject", subject);
  const absl::Status written = log_.Append(outcome.ok() ? "call" : "refused", OutcomeFields(std::move(fields), outcome));
  if (written.ok()) {
    last = told;
  } else {
    spdlog::error("the audit log was not written: {}", written.ToString(absl::StatusToStringMode::kWithNoExtraData));
  }
}

absl::Status DeskAudit::Commanded(absl::string_view command, const absl::Status& outcome) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return log_.Append("command", OutcomeFields({{"command", std::string(command)}}, outcome));
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/audit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/keyed_digest.h"

namespace attune {
namespace {

AuditFields StudyFields(const HeldManifest& held) {
  return {{"study", held.manifest.config().study()}, {"manifest", held.sha256}};
}

}  // namespace

absl::StatusOr<SiteAudit> SiteAudit::Open(const Home& home) {
  const std::string folder = home.path() + "/audit";
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(std::string key, ReadOrMakeKey(folder + "/audit.key"));
  return SiteAudit(AuditLog(folder, [key = std::move(key)](absl::string_view bytes) { return KeyedDigest(key, bytes); }));
}

absl::Status SiteAudit::Enrolled(const v1::AgentIdentity& identity, absl::string_view certificate_fingerprint) {
  return log_.Append("enrolled", {{"consortium", identity.consortium()},
                                  {"site", identity.site()},
                                  {"certificate", std::string(certificate_fingerprint)},
                                  {"way", identity.folder().empty() ? identity.coordinator() : "folder"}});
}

absl::Status SiteAudit::Renewed(absl::string_view certificate_fingerprint, int days_left) {
  return log_.Append("renewed", {{"certificate", std::string(certificate_fingerprint)}, {"days", absl::StrCat(days_left)}});
}

absl::Status SiteAudit::Registered(absl::string_view study, int batches, int features) {
  return log_.Append("registered",
                     {{"study", std::string(study)}, {"batches", absl::StrCat(batches)}, {"features", absl::StrCat(features)}});
}

absl::Status SiteAudit::Approved(const HeldManifest& held, absl::string_view consents) {
  AuditFields fields = StudyFields(held);
  if (!consents.empty()) fields.emplace_back("consents", consents);
  return log_.Append("approved", fields);
}

absl::Status SiteAudit::ApprovalRevoked(absl::string_view study, absl::string_view manifest_sha256) {
  return log_.Append("approval_revoked", {{"study", std::string(study)}, {"manifest", std::string(manifest_sha256)}});
}

absl::Status SiteAudit::Previewed(absl::string_view study, absl::string_view manifest_sha256) {
  return log_.Append("previewed", {{"study", std::string(study)}, {"manifest", std::string(manifest_sha256)}});
}

absl::Status SiteAudit::Asked(const HeldManifest& held, std::uint32_t round, absl::string_view question_sha256) {
  AuditFields fields = StudyFields(held);
  fields.emplace_back("round", absl::StrCat(round));
  fields.emplace_back("question", question_sha256);
  return log_.Append("question", fields);
}

absl::Status SiteAudit::Released(const HeldManifest& held, const Release& release) {
  AuditFields fields = StudyFields(held);
  fields.emplace_back("round", absl::StrCat(release.round));
  if (release.attempt > 0) {
    fields.emplace_back("attempt", absl::StrCat(release.attempt));
    fields.emplace_back("step", absl::StrCat(release.step));
  }
  fields.emplace_back("bundle", release.bundle_sha256);
  fields.emplace_back("bytes", absl::StrCat(release.bytes));
  if (!release.shape.empty()) fields.emplace_back("shape", release.shape);
  if (!release.rules.empty()) fields.emplace_back("rules", release.rules);
  return log_.Append("release", fields);
}

absl::Status SiteAudit::Refused(absl::string_view study, absl::string_view rule, absl::string_view detail) {
  return log_.Append("refused", {{"study", std::string(study)}, {"rule", std::string(rule)}, {"detail", std::string(detail)}});
}

absl::Status SiteAudit::Overridden(absl::string_view study, absl::string_view rule, absl::string_view reason) {
  return log_.Append("override", {{"study", std::string(study)}, {"rule", std::string(rule)}, {"reason", std::string(reason)}});
}

absl::Status SiteAudit::Failed(absl::string_view study, const absl::Status& status) {
  return log_.Append("error", {{"study", std::string(study)},
                               {"code", absl::StatusCodeToString(status.code())},
                               {"message", std::string(status.message())}});
}

absl::Status SiteAudit::Harmonized(const HeldManifest& held, absl::string_view correction_sha256) {
  AuditFields fields = StudyFields(held);
  fields.emplace_back("correction", correction_sha256);
  return log_.Append("harmonized", fields);
}

}  // namespace attune

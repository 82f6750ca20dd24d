// SPDX-License-Identifier: Apache-2.0
#include "site_agent/connect.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/certificates.h"
#include "common/transport/folder_courier.h"
#include "common/wire/manifest.h"
#include "site_agent/renewal.h"

namespace attune {
namespace {

absl::Status CheckConsortium(const v1::Manifest& manifest, const v1::AgentIdentity& identity) {
  // By folder a site may not know its consortium's name.
  if (identity.consortium().empty() || manifest.consortium() == identity.consortium()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the manifest is of consortium '", manifest.consortium(),
                                                  "', this site enrolled with '", identity.consortium(), "'"));
}

}  // namespace

absl::StatusOr<GrpcCourierOptions> DialOptions(const Home& home, const v1::AgentIdentity& identity,
                                               std::optional<absl::Duration> patience) {
  if (!identity.folder().empty()) {
    return absl::FailedPreconditionError(
        "this site exchanges a folder with the coordinator: there is no connection, and no "
        "certificate of it");
  }
  GrpcCourierOptions options{.endpoint = identity.coordinator()};
  ATTUNE_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(home.IdentityFile("ca.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.key_pem, ReadFile(home.IdentityFile("key.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.certificate_pem, ReadFile(home.IdentityFile("certificate.pem")));
  ATTUNE_ASSIGN_OR_RETURN(const int days, DaysLeft(options.certificate_pem));
  if (days < 0) {
    return absl::UnauthenticatedError(
        absl::StrCat("this site's certificate expired ", -days,
                     " days ago: ask the coordinator for a new invitation and enroll again with --force"));
  }
  options.patience = patience.value_or(options.patience);
  return options;
}

absl::StatusOr<std::unique_ptr<Courier>> Connect(const Home& home, const v1::AgentIdentity& identity,
                                                 std::optional<absl::Duration> patience) {
  if (!identity.folder().empty()) {
    return MakeFolderCourier({.folder = identity.folder(), .patience = patience.value_or(absl::ZeroDuration())});
  }
  ATTUNE_ASSIGN_OR_RETURN(const GrpcCourierOptions options, DialOptions(home, identity, patience));
  return MakeRenewingCourier(home, identity.site(), options);
}

absl::StatusOr<v1::GetStudyReply> AskForStudy(const StudyFolder& folder, const std::string& study, Courier* courier) {
  ATTUNE_ASSIGN_OR_RETURN(v1::GetStudyReply reply, courier->GetStudy(study));
  if (reply.config().study() != study) {
    return absl::PermissionDeniedError(
        absl::StrCat("asked for study '", study, "', the coordinator sent '", reply.config().study(), "'"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckStudyConfig(reply.config()));
  ATTUNE_RETURN_IF_ERROR(folder.WriteStudy(reply));
  return reply;
}

absl::StatusOr<HeldManifest> ManifestOf(const v1::GetStudyReply& reply, const v1::AgentIdentity& identity,
                                        const std::string& study) {
  if (reply.manifest().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("study '", study, "' is still recruiting: its manifest exists once the coordinator gives 'study start ",
                     study, "'. Until then, 'attune-site register ", study, "' takes part in it"));
  }
  HeldManifest held;
  ATTUNE_ASSIGN_OR_RETURN(held.manifest, ParseManifest(reply.manifest()));
  ATTUNE_RETURN_IF_ERROR(CheckStudyConfig(held.manifest.config()));
  if (held.manifest.config().study() != study) {
    return absl::PermissionDeniedError(absl::StrCat("asked for study '", study, "', the coordinator sent the manifest of '",
                                                    held.manifest.config().study(), "'"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckConsortium(held.manifest, identity));
  held.sha256 = Sha256Hex(reply.manifest());
  return held;
}

absl::StatusOr<HeldManifest> ReadManifestFile(const std::string& path, const v1::AgentIdentity& identity) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  HeldManifest held;
  absl::StatusOr<v1::Manifest> manifest = ParseManifest(bytes);
  if (!manifest.ok()) return WithContext(manifest.status(), absl::StrCat("'", path, "'"));
  held.manifest = *std::move(manifest);
  ATTUNE_RETURN_IF_ERROR(WithContext(CheckStudyConfig(held.manifest.config()), absl::StrCat("'", path, "'")));
  ATTUNE_RETURN_IF_ERROR(CheckConsortium(held.manifest, identity));
  held.sha256 = Sha256Hex(bytes);
  return held;
}

}  // namespace attune

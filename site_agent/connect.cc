// SPDX-License-Identifier: Apache-2.0
#include "site_agent/connect.h"

#include <spdlog/spdlog.h>

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
  if (manifest.consortium() == identity.consortium()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the manifest is of consortium '", manifest.consortium(),
                                                  "', this site enrolled with '", identity.consortium(), "'"));
}

// The days that are left.
absl::StatusOr<int> CheckNotExpired(const std::string& certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const int days, DaysLeft(certificate_pem));
  if (days >= 0) return days;
  return absl::UnauthenticatedError(
      absl::StrCat("this site's certificate expired ", -days,
                   " days ago: ask the coordinator for a new invitation and enroll again with --force"));
}

}  // namespace

absl::StatusOr<ProxySettings> ProxyOf(const v1::AgentIdentity& identity) {
  ProxySettings proxy{.address = identity.proxy()};
  if (!identity.proxy_credentials_file().empty()) {
    ATTUNE_ASSIGN_OR_RETURN(proxy.credentials, ReadProxyCredentials(identity.proxy_credentials_file()));
  }
  return proxy;
}

absl::StatusOr<GrpcCourierOptions> NetworkOptionsOf(const Home& home, const v1::AgentIdentity& identity) {
  GrpcCourierOptions options{.endpoint = identity.coordinator()};
  ATTUNE_ASSIGN_OR_RETURN(options.proxy, ProxyOf(identity));
  const std::string server_ca = home.IdentityFile("server-ca.pem");
  ATTUNE_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(FileExists(server_ca) ? server_ca : home.IdentityFile("ca.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.key_pem, ReadFile(home.IdentityFile("key.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.certificate_pem, ReadFile(home.IdentityFile("certificate.pem")));
  return options;
}

absl::StatusOr<GrpcCourierOptions> DialOptions(const Home& home, const v1::AgentIdentity& identity,
                                               std::optional<absl::Duration> patience) {
  if (!identity.folder().empty()) {
    return absl::FailedPreconditionError(
        "this site exchanges a folder with the coordinator: there is no connection over which its certificate could be "
        "renewed. "
        "Before it expires, ask for a new invitation and enroll again with --force");
  }
  ATTUNE_ASSIGN_OR_RETURN(GrpcCourierOptions options, NetworkOptionsOf(home, identity));
  ATTUNE_RETURN_IF_ERROR(CheckNotExpired(options.certificate_pem).status());
  options.patience = patience.value_or(options.patience);
  return options;
}

absl::StatusOr<std::unique_ptr<Courier>> Connect(const Home& home, const v1::AgentIdentity& identity,
                                                 std::optional<absl::Duration> patience) {
  if (identity.folder().empty()) {
    ATTUNE_ASSIGN_OR_RETURN(const GrpcCourierOptions options, DialOptions(home, identity, patience));
    return MakeRenewingCourier(home, identity.site(), options);
  }
  FolderCourierOptions options{.folder = identity.folder(),
                               .state_path = home.FolderStatePath(),
                               .site = identity.site(),
                               .patience = patience.value_or(absl::ZeroDuration()),
                               .tell = [](const std::string& what) { spdlog::warn("{}", what); }};
  ATTUNE_ASSIGN_OR_RETURN(options.key_pem, ReadFile(home.IdentityFile("key.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.certificate_pem, ReadFile(home.IdentityFile("certificate.pem")));
  ATTUNE_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(home.IdentityFile("ca.pem")));
  ATTUNE_ASSIGN_OR_RETURN(const int days, CheckNotExpired(options.certificate_pem));
  if (days < kRenewBeforeDays) spdlog::warn("this site's certificate expires in {} days: ask for a new invitation", days);
  return MakeFolderCourier(options);
}

namespace {

// What the study needs beside its manifest: with images, the mask.
absl::Status FetchAttachments(const StudyFolder& folder, const v1::GetStudyReply& reply, Courier* courier) {
  if (!reply.config().features().has_images()) return absl::OkStatus();
  const v1::Attachment* mask = FindAttachment(reply.attachments(), kMaskAttachment);
  v1::Manifest manifest;
  if (!reply.manifest().empty()) {
    // What is frozen counts.
    ATTUNE_ASSIGN_OR_RETURN(manifest, ParseManifest(reply.manifest()));
    mask = FindAttachment(manifest.attachments(), kMaskAttachment);
  }
  if (mask == nullptr || mask->size() > kMostAttachmentBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the coordinator tells no mask of study '", reply.config().study(),
                                                   "', whose features are images, or one that is too large"));
  }
  const std::string path = folder.AttachmentPath(kMaskAttachment);
  if (const auto here = Sha256OfFile(path); here.ok() && *here == mask->sha256()) return absl::OkStatus();
  v1::FetchRequest request;
  request.set_study(reply.config().study());
  request.set_sha256(mask->sha256());
  return WithContext(courier->Fetch(request, mask->size(), path), "the study's mask");
}

}  // namespace

absl::StatusOr<v1::GetStudyReply> AskForStudy(const StudyFolder& folder, const std::string& study, Courier* courier) {
  ATTUNE_ASSIGN_OR_RETURN(v1::GetStudyReply reply, courier->GetStudy(study));
  if (reply.config().study() != study) {
    return absl::PermissionDeniedError(
        absl::StrCat("asked for study '", study, "', the coordinator sent '", reply.config().study(), "'"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckStudyConfig(reply.config()));
  ATTUNE_RETURN_IF_ERROR(FetchAttachments(folder, reply, courier));
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

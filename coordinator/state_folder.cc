// SPDX-License-Identifier: Apache-2.0
#include "coordinator/state_folder.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"

namespace attune {
namespace {

// The server's certificate lasts as long as the authority's: sites trust it through the authority alone.
constexpr int kServerCertificateDays = 3650;
constexpr std::uint64_t kMaxPemFileBytes = std::uint64_t{1} << 16;

std::string PkiPath(const std::string& folder, absl::string_view name) { return absl::StrCat(folder, "/pki/", name); }

absl::Status WritePair(const std::string& folder, const std::string& name, const KeyAndCertificate& pair) {
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(PkiPath(folder, name + ".key"), pair.key_pem, FileAccess::kOwnerOnly));
  return WriteFileAtomically(PkiPath(folder, name + ".pem"), pair.certificate_pem, FileAccess::kOwnerOnly);
}

absl::StatusOr<KeyAndCertificate> ReadPair(const std::string& folder, const std::string& name) {
  KeyAndCertificate pair;
  ATTUNE_ASSIGN_OR_RETURN(pair.key_pem, ReadFile(PkiPath(folder, name + ".key"), kMaxPemFileBytes));
  ATTUNE_ASSIGN_OR_RETURN(pair.certificate_pem, ReadFile(PkiPath(folder, name + ".pem"), kMaxPemFileBytes));
  return pair;
}

}  // namespace

absl::Status InitStateFolder(const std::string& folder, const std::string& consortium, const std::vector<std::string>& hosts) {
  if (!IsPlainName(consortium)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", consortium, "' is not a consortium's name: 1 to 63 of [A-Za-z0-9._-], first a letter or digit"));
  }
  const std::string name_file = PkiPath(folder, "consortium");
  if (FileExists(name_file)) {
    return absl::AlreadyExistsError(absl::StrCat("'", folder,
                                                 "' has an authority already; a new one would turn away every "
                                                 "enrolled site. Choose another folder with --dir"));
  }
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder, FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/pki"), FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const KeyAndCertificate authority, MakeAuthority(consortium));
  ATTUNE_ASSIGN_OR_RETURN(const KeyAndCertificate server,
                          MakeServerCertificate(authority, consortium, hosts, kServerCertificateDays));
  ATTUNE_RETURN_IF_ERROR(WritePair(folder, "authority", authority));
  ATTUNE_RETURN_IF_ERROR(WritePair(folder, "server", server));
  return WriteFileAtomically(name_file, absl::StrCat(consortium, "\n"), FileAccess::kOwnerOnly);
}

absl::Status RenewServerCertificate(const std::string& folder, std::vector<std::string> hosts, bool new_key) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(folder));
  if (hosts.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(hosts, HostsOf(state.server.certificate_pem));
  }
  ATTUNE_ASSIGN_OR_RETURN(const KeyAndCertificate made,
                          MakeServerCertificate(state.authority, state.consortium, hosts, kServerCertificateDays,
                                                new_key ? "" : state.server.key_pem));
  if (new_key) return WritePair(folder, "server", made);
  return WriteFileAtomically(PkiPath(folder, "server.pem"), made.certificate_pem, FileAccess::kOwnerOnly);
}

absl::StatusOr<StateFolder> OpenStateFolder(const std::string& folder) {
  const absl::StatusOr<std::string> name = ReadFile(PkiPath(folder, "consortium"), 1024);
  if (absl::IsNotFound(name.status())) {
    return absl::FailedPreconditionError(absl::StrCat("'", folder,
                                                      "' is not a coordinator's folder yet; run 'attune-coordinator "
                                                      "pki init --consortium NAME --host HOST --dir ",
                                                      folder, "'"));
  }
  if (!name.ok()) return name.status();
  const std::string consortium(absl::StripSuffix(*name, "\n"));
  ATTUNE_ASSIGN_OR_RETURN(KeyAndCertificate authority, ReadPair(folder, "authority"));
  ATTUNE_ASSIGN_OR_RETURN(KeyAndCertificate server, ReadPair(folder, "server"));
  ATTUNE_ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal, Journal::Open(absl::StrCat(folder, "/journal.sqlite"), true));
  ATTUNE_ASSIGN_OR_RETURN(BlobStore blobs, BlobStore::Open(absl::StrCat(folder, "/blobs")));
  return StateFolder{folder, consortium, std::move(authority), std::move(server), std::move(journal), std::move(blobs)};
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_STATE_FOLDER_H_
#define ATTUNE_COORDINATOR_STATE_FOLDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/security/certificates.h"
#include "common/storage/blob_store.h"
#include "common/storage/journal.h"

namespace attune {

// The coordinator's state on disk, readable by its owner only:
//   pki/consortium                     the consortium's name; written last: without it there is no authority yet
//   pki/authority.{key,pem}            the consortium's certificate authority: back it up, keep its key secret
//   pki/server.{key,pem}               what `serve` shows to sites
//   journal.sqlite, blobs/             everything that happened
//   folders/<site>.pb                  what was last written into, and read from, each site's exchanged folder
//   audit/                             who asked for what (desk_audit.h)
//   endpoint                           host:port of the last `serve`, which removes it when it ends in order
struct StateFolder {
  std::string folder;
  std::string consortium;
  KeyAndCertificate authority;
  KeyAndCertificate server;
  std::unique_ptr<Journal> journal;
  BlobStore blobs;

  std::string EndpointPath() const { return folder + "/endpoint"; }
  std::string FoldersPath() const { return folder + "/folders"; }
};

// Makes the authority and the server's certificate for `hosts` (DNS names and IP addresses that sites dial). Fails with
// AlreadyExists when the folder has an authority: a new one would turn away every enrolled site.
absl::Status InitStateFolder(const std::string& folder, const std::string& consortium, const std::vector<std::string>& hosts);

// Makes a new certificate for the server, for `hosts` or, where there are none, for those of the present one. The key stays, so
// that there is one file to replace, unless `new_key`: interrupted then, it has to be done again before `serve` starts. A
// server that runs goes on with the old certificate until it is started again.
absl::Status RenewServerCertificate(const std::string& folder, std::vector<std::string> hosts, bool new_key);

// Fails with FailedPrecondition, naming the command, when the folder has no authority.
absl::StatusOr<StateFolder> OpenStateFolder(const std::string& folder);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_STATE_FOLDER_H_

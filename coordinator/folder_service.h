// SPDX-License-Identifier: Apache-2.0
//
// The desk by files, for hospitals that may not connect at all: each site has a folder of its own below a root, named like the
// site, which travels (USB stick, shared drive). The layout is that of common/transport/folder_courier.h.
#ifndef ATTUNE_COORDINATOR_FOLDER_SERVICE_H_
#define ATTUNE_COORDINATOR_FOLDER_SERVICE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/security/certificates.h"
#include "coordinator/desk.h"
#include "coordinator/invitations.h"

namespace attune {

// By which a file is known not to have changed.
struct FileStamp {
  std::filesystem::file_time_type written;
  std::uintmax_t size = 0;
  bool operator==(const FileStamp&) const = default;
};

// What this process remembers of a file that it read, so that it is not told or worked on at every sweep.
struct FolderFileSeen {
  std::string sha256;
  absl::Status outcome;
  std::int64_t version = 0;  // of the desk
  std::string answer;        // enrolments: what was put into the inbox
};

struct FolderServiceOptions {
  std::string root;          // holds one folder per site
  std::string state_folder;  // where it is remembered what was written and read; made when it is missing
  std::string consortium;
  std::string authority_pem;
  KeyAndCertificate server;  // signs what is written
  // Hears, once, of each file that was read: OK, or why it was refused. `file` is its name in the folder.
  std::function<void(absl::string_view site, absl::string_view file, const absl::Status& outcome)> on_file =
      [](absl::string_view, absl::string_view, const absl::Status&) {};
};

// What a file says counts when the site's certificate signed it for this place: where the folder comes from does not matter.
// What was signed with a certificate that has expired still counts for 30 days, for folders are carried. Not thread-safe.
class FolderService {
 public:
  // `desk` and `invitations` are not owned and outlive the service.
  FolderService(Desk* desk, Invitations* invitations, FolderServiceOptions options);

  // Takes in what is new in every site's outbox and brings every inbox up to date; writes only files whose content changes,
  // each atomically. Requests that are refused are answered in the inbox, those that were tampered with too. A site that has
  // not enrolled, or whose key was revoked, gets nothing. Folders that are not named like a site, and links in their place, are
  // left alone. Fails with NotFound when the root is missing, else with the first error of this machine, after all sites were
  // served.
  absl::Status Sweep();

 private:
  // Brings `keys_` up to date.
  absl::Status ReadKeys();

  Desk* const desk_;                // not owned
  Invitations* const invitations_;  // not owned
  const FolderServiceOptions options_;
  std::map<std::string, FileStamp> verified_;   // bundles in inboxes whose digest was seen to be right
  std::map<std::string, FolderFileSeen> seen_;  // by "<site>/outbox/<name>"
  std::map<std::string, std::string> keys_;     // fingerprint of the newest key of each enrolled site
  std::optional<std::int64_t> keys_version_;    // of the desk, when keys_ was read
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_FOLDER_SERVICE_H_

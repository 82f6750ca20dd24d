// SPDX-License-Identifier: Apache-2.0
//
// One end of a folder that travels: what it writes is signed for its place there, and what it reads must be signed by the other
// end for the same place (proto/attune/v1/folder.proto). A file that was changed, swapped, brought from another folder, put
// back after a newer one was read, or replaced by a link is noticed and named.
#ifndef ATTUNE_COMMON_TRANSPORT_SIGNED_FOLDER_H_
#define ATTUNE_COMMON_TRANSPORT_SIGNED_FOLDER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/folder.pb.h"

namespace attune {

struct SignedFolderOptions {
  std::string folder;      // holds outbox/ and inbox/
  std::string site;        // whose folder it is
  std::string own_box;     // "outbox" at the site, "inbox" at the coordinator
  std::string peer_box;    // the other one
  std::string state_path;  // where this end remembers what it wrote and took; not in the folder. Beside it comes a ".lock"
  std::string key_pem;     // this end's; both empty: only reads
  std::string certificate_pem;
  // Whether the certificate may sign the other end's files; Unauthenticated, not naming the file, when it may not.
  std::function<absl::Status(const std::string& certificate_pem)> check_peer;
  // A larger file of the other end is refused before memory is taken. A manifest with its roster is the largest that a site
  // gets.
  std::uint64_t max_peer_bytes = std::uint64_t{64} << 20;
  // Told, in a sentence, when a file that this end wrote is found changed.
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

// Thread-compatible; several processes may use one folder and state. Names are plain file names ("demo.next.pb") that the
// caller has checked. Each call may fail as files.h does, and with DataLoss when the state cannot be read.
class SignedFolder {
 public:
  explicit SignedFolder(SignedFolderOptions options) : options_(std::move(options)) {}

  // Writes the file `name` of this end's box. One that lies there as it was written, says the same and is signed with the same
  // certificate is left alone; one that was changed is told and written again.
  absl::Status Put(const std::string& name, const std::string& payload) const;

  // The payload of this end's own file `name`, as long as it lies there as it was written. NotFound when it does not; that it
  // was changed is told.
  absl::StatusOr<std::string> Own(const std::string& name) const;

  // The payload of the other end's file `name`. NotFound: there is none. Unauthenticated, naming the file and what to do: a
  // link or no plain file, damaged or changed, not signed by the other end, signed for another place, or older than one taken
  // before.
  absl::StatusOr<std::string> Take(const std::string& name) const;

  // Whether this end ever wrote a file of this name.
  absl::StatusOr<bool> HasWritten(const std::string& name) const;

  // SHA-256 of the other end's file, or this end's, as it lies there; empty where there is no plain file. What an answer refers
  // to.
  std::string PeerDigest(const std::string& name) const;
  std::string OwnDigest(const std::string& name) const;

  // Where a file of this end, or of the other, lies.
  std::string OwnPath(const std::string& name) const;
  std::string PeerPath(const std::string& name) const;

 private:
  absl::StatusOr<v1::FolderState> ReadState() const;
  std::string OwnName(const std::string& name) const { return options_.own_box + "/" + name; }
  std::string PeerName(const std::string& name) const { return options_.peer_box + "/" + name; }

  SignedFolderOptions options_;
};

// The bytes of a plain file; never follows a link. NotFound: nothing there. InvalidArgument: a link or no plain file, or larger
// than `max_bytes`.
absl::StatusOr<std::string> ReadPlainFile(const std::string& path, std::uint64_t max_bytes);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_SIGNED_FOLDER_H_

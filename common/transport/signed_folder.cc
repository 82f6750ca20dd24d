// SPDX-License-Identifier: Apache-2.0
#include "common/transport/signed_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/file_lock.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/signature.h"

namespace attune {
namespace {

constexpr char kPurpose[] = "attune folder";
// Of this end's own files.
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxStateBytes = std::uint64_t{64} << 20;

// By its name in the folder only: the other end gets to read this.
absl::Status Refused(const std::string& name, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("'", name, "' ", why, ": copy the folder again from the other side"));
}

}  // namespace

absl::StatusOr<std::string> ReadPlainFile(const std::string& path, std::uint64_t max_bytes) {
  // Not blocking: what lies there may be a pipe.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    const std::string message = absl::StrCat("cannot open '", path, "': ", std::strerror(errno));
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(message);
    if (errno == ELOOP)
      return absl::InvalidArgumentError(absl::StrCat("'", path, "' is a symbolic link, which is never followed"));
    return absl::InternalError(message);
  }
  struct stat found = {};
  std::string bytes;
  absl::Status status;
  if (::fstat(descriptor, &found) != 0 || !S_ISREG(found.st_mode)) {
    status = absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a plain file"));
  } else if (static_cast<std::uint64_t>(found.st_size) > max_bytes) {
    status = absl::InvalidArgumentError(absl::StrCat("'", path, "' has ", found.st_size, " bytes, more than ", max_bytes));
  } else {
    bytes.resize(static_cast<std::size_t>(found.st_size));
    std::size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t read = ::read(descriptor, bytes.data() + have, bytes.size() - have);
      if (read < 0 && errno == EINTR) continue;
      if (read < 0) status = absl::InternalError(absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
      if (read <= 0) break;
      have += static_cast<std::size_t>(read);
    }
    bytes.resize(have);
  }
  ::close(descriptor);
  if (!status.ok()) return status;
  return bytes;
}

std::string SignedFolder::OwnPath(const std::string& name) const { return absl::StrCat(options_.folder, "/", OwnName(name)); }
std::string SignedFolder::PeerPath(const std::string& name) const { return absl::StrCat(options_.folder, "/", PeerName(name)); }

absl::StatusOr<v1::FolderState> SignedFolder::ReadState() const {
  v1::FolderState state;
  const absl::StatusOr<std::string> bytes = ReadFile(options_.state_path, kMaxStateBytes);
  if (absl::IsNotFound(bytes.status())) return state;
  ATTUNE_RETURN_IF_ERROR(bytes.status());
  if (state.ParseFromString(*bytes)) return state;
  return absl::DataLossError(
      absl::StrCat("'", options_.state_path,
                   "', where it is remembered which files of the exchanged folder are the newest, is damaged. "
                   "Without it an older file would pass: look whether the folder is the newest, then remove it"));
}

absl::Status SignedFolder::Put(const std::string& name, const std::string& payload) const {
  const std::string path = OwnPath(name);
  ATTUNE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(options_.state_path + ".lock"));
  ATTUNE_ASSIGN_OR_RETURN(v1::FolderState state, ReadState());
  v1::FolderMark& mark = (*state.mutable_written())[OwnName(name)];
  const std::string payload_sha256 = Sha256Hex(payload);
  const absl::StatusOr<std::string> present = ReadPlainFile(path, kMaxFileBytes);
  v1::SignedFile file;
  if (present.ok() && Sha256Hex(*present) == mark.file_sha256()) {
    if (mark.payload_sha256() == payload_sha256 && file.ParseFromString(*present) &&
        file.certificate_pem() == options_.certificate_pem) {
      return absl::OkStatus();
    }
  } else if (!absl::IsNotFound(present.status()) && !mark.file_sha256().empty()) {
    options_.tell(absl::StrCat("'", path, "' is not as it was written: it was damaged or changed; it is written again"));
  }
  // By the clock where it goes forward: what was signed before this state was lost stays older.
  mark.set_sequence(std::max<std::uint64_t>(mark.sequence() + 1, static_cast<std::uint64_t>(absl::ToUnixMillis(absl::Now()))));
  v1::FolderStatement statement;
  statement.set_site(options_.site);
  statement.set_name(OwnName(name));
  statement.set_sequence(mark.sequence());
  statement.set_payload(payload);
  file.set_statement(statement.SerializeAsString());
  ATTUNE_ASSIGN_OR_RETURN(*file.mutable_signature(), Sign(options_.key_pem, kPurpose, file.statement()));
  file.set_certificate_pem(options_.certificate_pem);
  const std::string bytes = file.SerializeAsString();
  mark.set_payload_sha256(payload_sha256);
  mark.set_file_sha256(Sha256Hex(bytes));
  // The state first: no number is ever used twice.
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(options_.state_path, state.SerializeAsString(), FileAccess::kOwnerOnly));
  return WriteFileAtomically(path, bytes, FileAccess::kShared);
}

absl::StatusOr<std::string> SignedFolder::Own(const std::string& name) const {
  ATTUNE_ASSIGN_OR_RETURN(const v1::FolderState state, ReadState());
  const std::string path = OwnPath(name);
  const auto mark = state.written().find(OwnName(name));
  const absl::StatusOr<std::string> bytes = ReadPlainFile(path, kMaxFileBytes);
  if (mark == state.written().end() || absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(absl::StrCat("'", path, "' is not there"));
  }
  v1::SignedFile file;
  v1::FolderStatement statement;
  if (bytes.ok() && Sha256Hex(*bytes) == mark->second.file_sha256() && file.ParseFromString(*bytes) &&
      statement.ParseFromString(file.statement())) {
    return statement.payload();
  }
  options_.tell(absl::StrCat("'", path, "' is not as it was written: it was damaged or changed"));
  return absl::NotFoundError(absl::StrCat("'", path, "' was damaged or changed"));
}

absl::StatusOr<std::string> SignedFolder::Take(const std::string& name) const {
  const absl::StatusOr<std::string> bytes = ReadPlainFile(PeerPath(name), options_.max_peer_bytes);
  if (absl::IsInvalidArgument(bytes.status())) return Refused(PeerName(name), "is a link, not a plain file or too large");
  ATTUNE_RETURN_IF_ERROR(bytes.status());
  v1::SignedFile file;
  if (!file.ParseFromString(*bytes) || file.signature().empty() || file.certificate_pem().empty()) {
    return Refused(PeerName(name), "is not a signed file: it was damaged or changed");
  }
  if (const absl::Status allowed = options_.check_peer(file.certificate_pem()); !allowed.ok()) {
    return Refused(PeerName(name), absl::StrCat("is not signed by the one that may write it (", allowed.message(), ")"));
  }
  v1::FolderStatement statement;
  if (!VerifySignature(file.certificate_pem(), kPurpose, file.statement(), file.signature()).ok() ||
      !statement.ParseFromString(file.statement())) {
    return Refused(PeerName(name), "was damaged or changed after it was signed");
  }
  if (statement.site() != options_.site || statement.name() != PeerName(name)) {
    return Refused(PeerName(name), absl::StrCat("was signed as '", statement.name(), "' of the site '", statement.site(),
                                                "', not as '", PeerName(name), "' of '", options_.site, "'"));
  }
  ATTUNE_ASSIGN_OR_RETURN(v1::FolderState state, ReadState());
  const std::string payload_sha256 = Sha256Hex(statement.payload());
  const auto newest = [&]() -> v1::FolderMark& { return (*state.mutable_taken())[PeerName(name)]; };
  const auto is_newest = [&] {
    return newest().sequence() == statement.sequence() && newest().payload_sha256() == payload_sha256;
  };
  if (!is_newest()) {
    ATTUNE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(options_.state_path + ".lock"));
    ATTUNE_ASSIGN_OR_RETURN(state, ReadState());
    if (!is_newest() && newest().sequence() >= statement.sequence()) {
      const auto time = [](std::uint64_t sequence) {
        return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(static_cast<std::int64_t>(sequence)),
                                absl::UTCTimeZone());
      };
      return Refused(PeerName(name), absl::StrCat("is an old file put back: it was written ", time(statement.sequence()),
                                                  ", and one written ", time(newest().sequence()), " was read before"));
    }
    newest().set_sequence(statement.sequence());
    newest().set_payload_sha256(payload_sha256);
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(options_.state_path, state.SerializeAsString(), FileAccess::kOwnerOnly));
  }
  return std::move(*statement.mutable_payload());
}

absl::StatusOr<bool> SignedFolder::HasWritten(const std::string& name) const {
  ATTUNE_ASSIGN_OR_RETURN(const v1::FolderState state, ReadState());
  return state.written().count(OwnName(name)) > 0;
}

std::string SignedFolder::PeerDigest(const std::string& name) const {
  const absl::StatusOr<std::string> bytes = ReadPlainFile(PeerPath(name), options_.max_peer_bytes);
  return bytes.ok() ? Sha256Hex(*bytes) : "";
}

std::string SignedFolder::OwnDigest(const std::string& name) const {
  const absl::StatusOr<std::string> bytes = ReadPlainFile(OwnPath(name), kMaxFileBytes);
  return bytes.ok() ? Sha256Hex(*bytes) : "";
}

}  // namespace attune

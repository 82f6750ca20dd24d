// SPDX-License-Identifier: Apache-2.0
#include "common/storage/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/file_lock.h"
#include "common/base/files.h"
#include "common/base/status.h"

namespace attune {
namespace {

constexpr std::uint64_t kMaxHeadBytes = std::uint64_t{1} << 20;
constexpr char kSealPurpose[] = "attune audit head\n";
constexpr char kDigestMark[] = ",\"digest\":\"";
constexpr char kPreviousMark[] = ",\"previous\":\"";
constexpr std::size_t kHexDigits = 64;

std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&quoted, "\\u", absl::Hex(byte, absl::kZeroPad4));
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "\"";
}

std::string Now() { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()); }

std::string LineOf(std::uint64_t sequence, absl::string_view event, const AuditFields& fields, absl::string_view previous) {
  std::string line =
      absl::StrCat("{\"sequence\":", sequence, ",\"time\":\"", Now(), "\",\"event\":", Quoted(event), ",\"fields\":{");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    absl::StrAppend(&line, i == 0 ? "" : ",", Quoted(fields[i].first), ":", Quoted(fields[i].second));
  }
  absl::StrAppend(&line, "}", kPreviousMark, previous, "\"");
  return absl::StrCat(line, kDigestMark, Sha256Hex(line), "\"}");
}

// The digest that a line ends with, when it is that of the line, the line's number is `sequence` and the digest before is
// `previous`.
absl::StatusOr<std::string> CheckLine(absl::string_view line, std::uint64_t sequence, absl::string_view previous) {
  absl::string_view rest = line;
  const std::size_t mark = line.size() < kHexDigits + 2 ? 0 : line.size() - 2 - kHexDigits;
  const std::string digest(line.substr(mark, kHexDigits));
  rest = line.substr(0, mark);
  if (!absl::EndsWith(line, "\"}") || !absl::ConsumeSuffix(&rest, kDigestMark) || Sha256Hex(rest) != digest) {
    return absl::DataLossError("was changed: its digest is not that of its text");
  }
  if (!absl::StartsWith(rest, absl::StrCat("{\"sequence\":", sequence, ","))) {
    return absl::DataLossError("does not follow the line before: lines were removed, added or moved");
  }
  if (!absl::EndsWith(rest, absl::StrCat(kPreviousMark, previous, "\""))) {
    return absl::DataLossError("does not name the line before: that one was changed or exchanged");
  }
  return digest;
}

std::string DigestOf(const std::string& line) { return line.substr(line.size() - 2 - kHexDigits, kHexDigits); }

AuditHead HeadOf(const std::vector<std::string>& lines) {
  return {.entries = lines.size(), .digest = lines.empty() ? "" : DigestOf(lines.back())};
}

absl::Status WriteAt(const std::string& path, std::uint64_t offset, absl::string_view bytes) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  int error = descriptor < 0 ? errno : 0;
  while (error == 0 && !bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      error = errno;
      break;
    }
    offset += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (error == 0) return absl::OkStatus();
  const std::string message = absl::StrCat("cannot write '", path, "': ", std::strerror(error));
  return error == ENOSPC || error == EDQUOT ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

// audit.head, as text: "<entries> <bytes before the last line> <seal>\n<last line>". The seal is over all the rest.
struct AuditLog::Head {
  std::uint64_t entries = 0;
  std::uint64_t before = 0;
  std::string line;

  std::uint64_t Size() const { return entries == 0 ? 0 : before + line.size() + 1; }
  std::string Sealed() const { return absl::StrCat(kSealPurpose, entries, " ", before, "\n", line); }
  // Of the last line.
  std::string Digest() const { return entries == 0 ? std::string(kHexDigits, '0') : DigestOf(line); }
};

absl::StatusOr<AuditLog::Head> AuditLog::ReadHead() const {
  Head head;
  const absl::StatusOr<std::string> text = ReadFile(HeadPath(), kMaxHeadBytes);
  if (absl::IsNotFound(text.status())) {
    if (!FileExists(LogPath())) return head;
    return absl::DataLossError(absl::StrCat("'", HeadPath(), "' is missing: lines may have been removed from the end of '",
                                            LogPath(), "', and nobody could tell"));
  }
  ATTUNE_RETURN_IF_ERROR(text.status());
  const std::pair<std::string, std::string> parts = absl::StrSplit(*text, absl::MaxSplits('\n', 1));
  const std::vector<std::string> words = absl::StrSplit(parts.first, ' ');
  head.line = parts.second;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &head.entries) || !absl::SimpleAtoi(words[1], &head.before) ||
      head.entries == 0 || head.line.size() < kHexDigits + 2 || seal_(head.Sealed()) != words[2]) {
    return absl::DataLossError(absl::StrCat("'", HeadPath(), "' was changed, or its key was"));
  }
  return head;
}

absl::Status AuditLog::AppendLine(Head& head, absl::string_view event, const AuditFields& fields) const {
  Head next;
  next.entries = head.entries + 1;
  next.before = head.Size();
  next.line = LineOf(next.entries, event, fields, head.Digest());
  if (next.line.size() + 1024 > kMaxHeadBytes) return absl::InvalidArgumentError("an audit entry is too long");
  const std::string text = absl::StrCat(next.entries, " ", next.before, " ", seal_(next.Sealed()), "\n", next.line);
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(HeadPath(), text, FileAccess::kOwnerOnly));
  CrashPoint("audit.head_written");
  ATTUNE_RETURN_IF_ERROR(WriteAt(LogPath(), next.before, next.line + "\n"));
  head = std::move(next);
  return absl::OkStatus();
}

absl::Status AuditLog::Append(absl::string_view event, const AuditFields& fields) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder_, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(folder_ + "/audit.lock"));
  ATTUNE_ASSIGN_OR_RETURN(Head head, ReadHead());
  struct stat found = {};
  const bool exists = ::stat(LogPath().c_str(), &found) == 0;
  const std::uint64_t size = exists ? static_cast<std::uint64_t>(found.st_size) : 0;
  if (size > head.Size() || size < head.before) {
    return absl::DataLossError(
        absl::StrCat("'", LogPath(), "' has ", size, " bytes, its head says ", head.Size(),
                     ": it was changed. Look with 'audit verify', keep a copy, and move both files away"));
  }
  if (size < head.Size()) {
    ATTUNE_RETURN_IF_ERROR(WriteAt(LogPath(), head.before, head.line + "\n"));
    ATTUNE_RETURN_IF_ERROR(AppendLine(head, "repaired", {{"entry", absl::StrCat(head.entries)}}));
  }
  return AppendLine(head, event, fields);
}

absl::StatusOr<std::vector<std::string>> AuditLog::Lines() const {
  Head head;
  std::string text;
  if (FileExists(folder_)) {
    ATTUNE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(folder_ + "/audit.lock"));
    ATTUNE_ASSIGN_OR_RETURN(head, ReadHead());
    absl::StatusOr<std::string> read = ReadFile(LogPath(), ~std::uint64_t{0});
    if (!read.ok() && !absl::IsNotFound(read.status())) return read.status();
    if (read.ok()) text = *std::move(read);
  }
  const auto damaged = [&](std::uint64_t number, absl::string_view why) {
    return absl::DataLossError(absl::StrCat("line ", number, " of '", LogPath(), "' ", why));
  };
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const std::string torn = lines.back();  // empty where the file ends with a whole line
  lines.pop_back();
  std::string previous(kHexDigits, '0');
  for (std::size_t i = 0; i < lines.size(); ++i) {
    absl::StatusOr<std::string> digest = CheckLine(lines[i], i + 1, previous);
    if (!digest.ok()) return damaged(i + 1, digest.status().message());
    previous = *std::move(digest);
  }
  if (lines.size() > head.entries) return damaged(head.entries + 1, "was added: the head knows nothing of it");
  // What a crash has cut off is the beginning of the line that the head holds.
  if (lines.size() + 1 == head.entries && text.size() - torn.size() == head.before && absl::StartsWith(head.line, torn)) {
    lines.push_back(head.line);
    const absl::StatusOr<std::string> digest = CheckLine(lines.back(), head.entries, previous);
    if (!digest.ok()) return damaged(lines.size() - 1, "is not the one that was followed by more: it was exchanged");
    return lines;
  }
  if (!torn.empty()) return damaged(lines.size() + 1, "is cut off, and not the last one: lines after it were removed");
  if (lines.size() < head.entries) {
    return absl::DataLossError(
        absl::StrCat("'", LogPath(), "' ends after line ", lines.size(), " of ", head.entries, ": the last ones were removed"));
  }
  if (!lines.empty() && lines.back() != head.line)
    return damaged(lines.size(), "is not the one that the head knows: it was exchanged");
  return lines;
}

absl::StatusOr<AuditHead> AuditLog::Verify() const {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, Lines());
  return HeadOf(lines);
}

absl::Status AuditLog::VerifyContains(absl::string_view digest) const {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, Lines());
  for (const std::string& line : lines) {
    if (DigestOf(line) == digest) return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("'", LogPath(), "' never had the head ", digest,
                                          ", or was made anew since then: compare it with what was exported at that time"));
}

absl::StatusOr<AuditHead> ExportAudit(const AuditLog& log, const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, log.Lines());
  AuditHead head = HeadOf(lines);
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, FileAccess::kOwnerOnly));
  for (const std::string& line : lines) file.Write(line + "\n");
  file.Write(absl::StrCat("{\"exported\":\"", Now(), "\",\"entries\":", head.entries, ",\"head\":\"", head.digest, "\"}\n"));
  ATTUNE_RETURN_IF_ERROR(std::move(file).Commit());
  return head;
}

absl::StatusOr<std::string> DescribeAudit(const AuditLog& log) {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, log.Lines());
  std::string text;
  for (absl::string_view line : lines) {
    line =
        line.substr(0, line.size() - (sizeof(kPreviousMark) - 1 + kHexDigits + 1 + sizeof(kDigestMark) - 1 + kHexDigits + 2));
    absl::StrAppend(&text, line, "}\n");
  }
  return text;
}

}  // namespace attune

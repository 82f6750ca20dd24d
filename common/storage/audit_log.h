// SPDX-License-Identifier: Apache-2.0
//
// What happened, for people: an append-only file of JSON lines in which each line carries the digest of the one before, and a
// head that says how many lines there must be. docs/audit.md says what that finds, and what it cannot.
#ifndef ATTUNE_COMMON_STORAGE_AUDIT_LOG_H_
#define ATTUNE_COMMON_STORAGE_AUDIT_LOG_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// What a line says beside its number and time, in order: ("study", "demo"), ("round", "1").
using AuditFields = std::vector<std::pair<std::string, std::string>>;

// The end of a log: who is told it can say later whether the log still begins with what it was then.
struct AuditHead {
  std::uint64_t entries = 0;
  std::string digest;  // of the last line; empty for an empty log
};

// In one folder: audit.jsonl, audit.head and audit.lock (0600). A line:
//
//   {"sequence":1,"time":"2026-01-31T12:00:00Z","event":"release","fields":{"study":"demo"},"previous":"<digest>","digest":"<SHA-256>"}
//
// `digest` is that of the line's text before `,"digest"`; `previous` that of the line before, zeros in the first. The head
// holds the number of lines and the last of them, under a keyed digest, and is written before the line: what a crash has cut
// off is completed from there. Several processes may append. Thread-compatible.
class AuditLog {
 public:
  // Keyed digest of its argument with a secret of the log's owner.
  using Seal = std::function<std::string(absl::string_view)>;

  // Touches nothing; `folder` is made by the first Append.
  AuditLog(std::string folder, Seal seal) : folder_(std::move(folder)), seal_(std::move(seal)) {}

  // Adds a line and makes it durable. A last line that a crash had cut off is completed first, which is itself recorded
  // ("repaired"). DataLoss, writing nothing: the file is shorter or longer than its head says, or the head is not sealed with
  // this key. ResourceExhausted: the disk is full.
  absl::Status Append(absl::string_view event, const AuditFields& fields);

  // Reads the whole log. DataLoss, naming the file and the line: a line was changed, removed, added or moved, lines are missing
  // at the end, or the head is missing or not sealed with this key. A last line that a crash has cut off is fine.
  absl::StatusOr<AuditHead> Verify() const;

  // Besides, whether the log still goes through a head that it had before: DataLoss when no line has that digest.
  absl::Status VerifyContains(absl::string_view digest) const;

  // The lines of a log that Verify finds whole, without their ends; a line that a crash has cut off is completed.
  absl::StatusOr<std::vector<std::string>> Lines() const;

  std::string LogPath() const { return folder_ + "/audit.jsonl"; }
  std::string HeadPath() const { return folder_ + "/audit.head"; }

 private:
  struct Head;
  absl::StatusOr<Head> ReadHead() const;
  absl::Status AppendLine(Head& head, absl::string_view event, const AuditFields& fields) const;

  std::string folder_;
  Seal seal_;
};

// Verifies the log and writes its lines to `path`, with a last line that tells its head and the time.
absl::StatusOr<AuditHead> ExportAudit(const AuditLog& log, const std::string& path);

// Verifies the log and returns it for reading: per line its number, time, event and fields.
absl::StatusOr<std::string> DescribeAudit(const AuditLog& log);

}  // namespace attune

#endif  // ATTUNE_COMMON_STORAGE_AUDIT_LOG_H_

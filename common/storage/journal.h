// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's memory: an append-only list of facts. What a study's state is follows from reading its entries in order
// (coordinator/study_book.h), so that a process killed at any moment goes on where the last whole entry stands.
#ifndef ATTUNE_COMMON_STORAGE_JOURNAL_H_
#define ATTUNE_COMMON_STORAGE_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attune {

struct JournalEntry {
  std::int64_t sequence = 0;  // set by Append: 1, 2, ...
  std::string time;           // set by Append: UTC, "2026-01-31T12:00:00Z"; never part of what is computed
  std::string study;          // empty for entries of the whole consortium (invitations, certificates)
  std::string kind;           // coordinator/study_book.h lists the kinds
  std::string site;           // empty: the coordinator itself
  std::uint32_t round = 0;
  std::string blob;  // SHA-256 of a blob, or empty
  std::string body;  // small: a serialized message or a sentence
};

// One SQLite file (write-ahead log, synchronous). Entries are never changed or deleted: triggers refuse it, and each entry's
// row carries a SHA-256 over itself and the row before. Thread-safe; several processes may use one file (`serve` and `study
// start`).
class Journal {
 public:
  // Creates the file (0600) when `create`. Fails with NotFound when it is missing and not created, with DataLoss when it is not
  // a journal or its format is another version.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& path, bool create);
  ~Journal();

  // Runs `decide` inside a write transaction with all entries of `study` in order of sequence; appends what it returns, all or
  // nothing, and makes it durable before returning. This is how a decision and its record stay one, whoever else writes.
  // `decide` must not use this journal itself; its error is returned as it is and nothing is written. InvalidArgument, writing
  // nothing: an entry of another study, without a kind, or whose blob is no digest. ResourceExhausted: the disk is full.
  absl::Status Transact(const std::string& study,
                        absl::FunctionRef<absl::StatusOr<std::vector<JournalEntry>>(const std::vector<JournalEntry>&)> decide);

  // All entries of a study, in order.
  absl::StatusOr<std::vector<JournalEntry>> Read(const std::string& study) const;

  // Names of all studies that have an entry, sorted.
  absl::StatusOr<std::vector<std::string>> Studies() const;

  // A number that changes whenever any process has committed an entry; cheap to ask.
  std::int64_t Version() const;

  // Recomputes the chain of digests. Fails with DataLoss naming the first entry that does not fit.
  absl::Status VerifyChain() const;

 private:
  struct Connection;
  explicit Journal(std::unique_ptr<Connection> connection);
  mutable std::mutex mutex_;
  std::unique_ptr<Connection> connection_;  // guarded by mutex_
};

}  // namespace attune

#endif  // ATTUNE_COMMON_STORAGE_JOURNAL_H_

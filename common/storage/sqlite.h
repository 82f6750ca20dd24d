// SPDX-License-Identifier: Apache-2.0
//
// A thin wrapper of SQLite's C interface: ownership, and absl::Status for its result codes. For this folder only.
#ifndef ATTUNE_COMMON_STORAGE_SQLITE_H_
#define ATTUNE_COMMON_STORAGE_SQLITE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune::sqlite {

// One prepared statement. Not thread-safe; must not outlive its database.
class Statement {
 public:
  // Parameters count from 1. The text is copied.
  void BindInt(int parameter, std::int64_t value);
  void BindText(int parameter, absl::string_view value);
  void BindBlob(int parameter, absl::string_view value);

  // True: there is a row to read. False: done.
  absl::StatusOr<bool> Step();

  // Columns count from 0.
  std::int64_t Int(int column) const;
  std::string Bytes(int column) const;

 private:
  friend class Database;
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int bind_error_ = SQLITE_OK;  // of the first binding that failed; told by Step
};

// One connection. Not thread-safe.
class Database {
 public:
  // Opens an existing file. A lock that another process holds is waited for, up to `busy_ms`.
  static absl::StatusOr<Database> Open(const std::string& path, int busy_ms);

  absl::StatusOr<Statement> Prepare(absl::string_view sql) const;
  // Runs one or more statements that return nothing of interest.
  absl::Status Run(const std::string& sql) const;
  // The one whole number that `sql` selects.
  absl::StatusOr<std::int64_t> SelectInt(absl::string_view sql) const;

 private:
  struct Closer {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  explicit Database(sqlite3* database) : database_(database) {}
  std::unique_ptr<sqlite3, Closer> database_;
};

// A transaction: what is read in it is of one moment. What was not committed is rolled back by the destructor.
class Transaction {
 public:
  // Nobody else writes from here on.
  static absl::StatusOr<Transaction> BeginWrite(const Database& database);
  static absl::StatusOr<Transaction> BeginRead(const Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  absl::Status Commit() &&;

 private:
  explicit Transaction(const Database* database) : database_(database) {}
  const Database* database_;  // not owned; null: nothing to roll back
};

}  // namespace attune::sqlite

#endif  // ATTUNE_COMMON_STORAGE_SQLITE_H_

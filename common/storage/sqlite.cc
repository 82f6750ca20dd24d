// SPDX-License-Identifier: Apache-2.0
#include "common/storage/sqlite.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune::sqlite {
namespace {

absl::Status ToStatus(sqlite3* database, int code) {
  const std::string message = absl::StrCat(sqlite3_errmsg(database), " (SQLite code ", code, ")");
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat("the disk is full: ", message));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat("another process keeps it locked: ", message));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

void Statement::BindInt(int parameter, std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), parameter, value);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

void Statement::BindText(int parameter, absl::string_view value) {
  // A null pointer would bind NULL.
  const char* data = value.empty() ? "" : value.data();
  const int code = sqlite3_bind_text64(statement_.get(), parameter, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

void Statement::BindBlob(int parameter, absl::string_view value) {
  const char* data = value.empty() ? "" : value.data();
  const int code = sqlite3_bind_blob64(statement_.get(), parameter, data, value.size(), SQLITE_TRANSIENT);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

absl::StatusOr<bool> Statement::Step() {
  sqlite3* database = sqlite3_db_handle(statement_.get());
  if (bind_error_ != SQLITE_OK) return ToStatus(database, bind_error_);
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ToStatus(database, code);
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

absl::StatusOr<Database> Database::Open(const std::string& path, int busy_ms) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(handle);  // to be closed even when opening failed
  if (handle == nullptr) return absl::ResourceExhaustedError("no memory for a database connection");
  if (code != SQLITE_OK) return ToStatus(handle, code);
  sqlite3_busy_timeout(handle, busy_ms);
  return database;
}

absl::StatusOr<Statement> Database::Prepare(absl::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return ToStatus(database_.get(), code);
  return Statement(statement);
}

absl::Status Database::Run(const std::string& sql) const {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ToStatus(database_.get(), code);
}

absl::StatusOr<std::int64_t> Database::SelectInt(absl::string_view sql) const {
  ATTUNE_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  ATTUNE_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::InternalError(absl::StrCat("no row from: ", sql));
  return statement.Int(0);
}

absl::StatusOr<Transaction> Transaction::BeginWrite(const Database& database) {
  // IMMEDIATE takes the write lock now: nobody writes between our reading and our writing.
  ATTUNE_RETURN_IF_ERROR(database.Run("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

absl::StatusOr<Transaction> Transaction::BeginRead(const Database& database) {
  ATTUNE_RETURN_IF_ERROR(database.Run("BEGIN DEFERRED"));
  return Transaction(&database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself (a full disk); then this fails and changes nothing.
  if (database_ != nullptr) database_->Run("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() && {
  ATTUNE_RETURN_IF_ERROR(database_->Run("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace attune::sqlite

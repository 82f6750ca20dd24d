// SPDX-License-Identifier: Apache-2.0
#include "common/storage/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/storage/sqlite.h"

namespace attune {
namespace {

constexpr int kBusyMilliseconds = 10'000;
constexpr std::int64_t kApplicationId = 0x4174744a;  // "AttJ": tells a journal from any other SQLite file
constexpr std::int64_t kFormatVersion = 1;

// The third trigger also stops INSERT OR REPLACE, which deletes without asking the delete trigger.
constexpr char kSchema[] = R"sql(
CREATE TABLE entry (
  sequence INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  study TEXT NOT NULL,
  kind TEXT NOT NULL,
  site TEXT NOT NULL,
  round INTEGER NOT NULL,
  blob TEXT NOT NULL,
  body BLOB NOT NULL,
  digest TEXT NOT NULL
) STRICT;
CREATE INDEX entry_by_study ON entry (study, sequence);
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'journal entries are never changed'); END;
CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'journal entries are never deleted'); END;
CREATE TRIGGER entry_is_appended BEFORE INSERT ON entry
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM entry)
BEGIN SELECT RAISE(ABORT, 'journal entries are only appended'); END;
)sql";

constexpr char kColumns[] = "sequence, time, study, kind, site, round, blob, body, digest";
constexpr int kDigestColumn = 8;

JournalEntry EntryOf(const sqlite::Statement& row) {
  return {.sequence = row.Int(0),
          .time = row.Bytes(1),
          .study = row.Bytes(2),
          .kind = row.Bytes(3),
          .site = row.Bytes(4),
          .round = static_cast<std::uint32_t>(row.Int(5)),
          .blob = row.Bytes(6),
          .body = row.Bytes(7)};
}

// Fields go in with their lengths, so that no two entries have the same bytes to digest.
std::string ChainDigest(absl::string_view previous, const JournalEntry& entry) {
  Sha256 sha;
  const auto number = [&sha](std::uint64_t value) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
    sha.Update(bytes, sizeof(bytes));
  };
  const auto text = [&](absl::string_view value) {
    number(value.size());
    sha.Update(value);
  };
  text(previous);
  number(static_cast<std::uint64_t>(entry.sequence));
  text(entry.time);
  text(entry.study);
  text(entry.kind);
  text(entry.site);
  number(entry.round);
  text(entry.blob);
  text(entry.body);
  return std::move(sha).Finish();
}

absl::Status CheckEntry(const std::string& study, const JournalEntry& entry) {
  if (entry.study != study) {
    return absl::InvalidArgumentError(
        absl::StrCat("an entry of study '", entry.study, "' was decided on the entries of study '", study, "'"));
  }
  if (entry.kind.empty()) return absl::InvalidArgumentError("a journal entry needs a kind");
  if (!entry.blob.empty() && !IsSha256Hex(entry.blob)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a journal entry of kind '", entry.kind, "' names a blob that is no SHA-256"));
  }
  return absl::OkStatus();
}

// True: a journal of this format. False: a database with nothing in it yet. For use inside a transaction: another process may
// be creating the journal between one question and the next.
absl::StatusOr<bool> CheckFormat(const sqlite::Database& database) {
  ATTUNE_ASSIGN_OR_RETURN(const std::int64_t application, database.SelectInt("PRAGMA application_id"));
  ATTUNE_ASSIGN_OR_RETURN(const std::int64_t version, database.SelectInt("PRAGMA user_version"));
  ATTUNE_ASSIGN_OR_RETURN(const std::int64_t objects, database.SelectInt("SELECT count(*) FROM sqlite_schema"));
  if (application == 0 && version == 0 && objects == 0) return false;
  if (application != kApplicationId) return absl::DataLossError("this SQLite file is not an Attune journal");
  if (version != kFormatVersion) {
    return absl::DataLossError(absl::StrCat("the journal has format version ", version, ", this program reads version ",
                                            kFormatVersion, "; use the release of Attune that wrote it"));
  }
  return true;
}

absl::StatusOr<bool> CheckFormatOnce(const sqlite::Database& database) {
  ATTUNE_ASSIGN_OR_RETURN(const sqlite::Transaction transaction, sqlite::Transaction::BeginRead(database));
  return CheckFormat(database);
}

absl::Status UseWriteAheadLog(const sqlite::Database& database) {
  // Changing the mode can report "busy" at once, without waiting, when another process does the same.
  absl::Status status;
  for (int waited = 0; waited < kBusyMilliseconds; waited += 20) {
    status = database.Run("PRAGMA journal_mode = WAL");
    if (!absl::IsUnavailable(status)) break;
    absl::SleepFor(absl::Milliseconds(20));
  }
  ATTUNE_RETURN_IF_ERROR(status);
  return database.Run("PRAGMA synchronous = FULL");
}

absl::Status CreateSchema(const sqlite::Database& database) {
  ATTUNE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, sqlite::Transaction::BeginWrite(database));
  ATTUNE_ASSIGN_OR_RETURN(const bool made_by_another, CheckFormat(database));
  if (made_by_another) return absl::OkStatus();
  ATTUNE_RETURN_IF_ERROR(database.Run(
      absl::StrCat(kSchema, "PRAGMA application_id = ", kApplicationId, "; PRAGMA user_version = ", kFormatVersion, ";")));
  return std::move(transaction).Commit();
}

absl::StatusOr<sqlite::Database> OpenDatabase(const std::string& path, bool create) {
  ATTUNE_ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path, kBusyMilliseconds));
  ATTUNE_ASSIGN_OR_RETURN(const bool is_journal, CheckFormatOnce(database));
  if (!is_journal && !create) return absl::DataLossError("the file is empty, not a journal");
  ATTUNE_RETURN_IF_ERROR(UseWriteAheadLog(database));
  if (!is_journal) ATTUNE_RETURN_IF_ERROR(CreateSchema(database));
  return database;
}

absl::StatusOr<std::vector<JournalEntry>> ReadEntries(const sqlite::Database& database, const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database.Prepare(absl::StrCat("SELECT ", kColumns, " FROM entry WHERE study = ?1 ORDER BY sequence")));
  select.BindText(1, study);
  std::vector<JournalEntry> entries;
  for (;;) {
    ATTUNE_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return entries;
    entries.push_back(EntryOf(select));
  }
}

struct ChainEnd {
  std::int64_t sequence = 0;
  std::string digest;
};

absl::StatusOr<ChainEnd> LastOf(const sqlite::Database& database) {
  ATTUNE_ASSIGN_OR_RETURN(sqlite::Statement select,
                          database.Prepare("SELECT sequence, digest FROM entry ORDER BY sequence DESC LIMIT 1"));
  ATTUNE_ASSIGN_OR_RETURN(const bool row, select.Step());
  if (!row) return ChainEnd{};
  return ChainEnd{select.Int(0), select.Bytes(1)};
}

absl::Status Insert(const sqlite::Database& database, const JournalEntry& entry, absl::string_view digest) {
  ATTUNE_ASSIGN_OR_RETURN(sqlite::Statement insert, database.Prepare(absl::StrCat("INSERT INTO entry (", kColumns,
                                                                                  ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")));
  insert.BindInt(1, entry.sequence);
  insert.BindText(2, entry.time);
  insert.BindText(3, entry.study);
  insert.BindText(4, entry.kind);
  insert.BindText(5, entry.site);
  insert.BindInt(6, entry.round);
  insert.BindText(7, entry.blob);
  insert.BindBlob(8, entry.body);
  insert.BindText(9, digest);
  return insert.Step().status();
}

}  // namespace

struct Journal::Connection {
  std::string path;
  sqlite::Database database;
  std::int64_t own_commits = 0;

  absl::Status Named(const absl::Status& status) const { return WithContext(status, absl::StrCat("journal '", path, "'")); }
};

Journal::Journal(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

Journal::~Journal() = default;

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& path, bool create) {
  if (create) {
    // Made here, not by SQLite, for its mode; SQLite gives the files beside it the same.
    const int descriptor = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) {
      const std::string message = absl::StrCat("cannot create the journal '", path, "': ", std::strerror(errno));
      return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError(message) : absl::InternalError(message);
    }
    ::close(descriptor);
  } else if (!FileExists(path)) {
    return absl::NotFoundError(absl::StrCat("no journal at '", path, "'"));
  }
  auto database = OpenDatabase(path, create);
  if (!database.ok()) return WithContext(database.status(), absl::StrCat("journal '", path, "'"));
  auto connection = std::make_unique<Connection>(Connection{.path = path, .database = *std::move(database)});
  return std::unique_ptr<Journal>(new Journal(std::move(connection)));
}

absl::Status Journal::Transact(
    const std::string& study,
    absl::FunctionRef<absl::StatusOr<std::vector<JournalEntry>>(const std::vector<JournalEntry>&)> decide) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const sqlite::Database& database = connection_->database;
  auto transaction = sqlite::Transaction::BeginWrite(database);
  if (!transaction.ok()) return connection_->Named(transaction.status());
  const auto entries = ReadEntries(database, study);
  if (!entries.ok()) return connection_->Named(entries.status());

  ATTUNE_ASSIGN_OR_RETURN(std::vector<JournalEntry> added, decide(*entries));
  if (added.empty()) return absl::OkStatus();

  const auto last = LastOf(database);
  if (!last.ok()) return connection_->Named(last.status());
  std::int64_t sequence = last->sequence;
  std::string digest = last->digest;
  const std::string now = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  for (JournalEntry& entry : added) {
    ATTUNE_RETURN_IF_ERROR(CheckEntry(study, entry));
    entry.sequence = ++sequence;
    entry.time = now;
    digest = ChainDigest(digest, entry);
    if (const absl::Status status = Insert(database, entry, digest); !status.ok()) return connection_->Named(status);
  }
  CrashPoint("journal_before_commit");
  if (const absl::Status status = (*std::move(transaction)).Commit(); !status.ok()) return connection_->Named(status);
  ++connection_->own_commits;
  CrashPoint("journal_after_commit");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JournalEntry>> Journal::Read(const std::string& study) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto entries = ReadEntries(connection_->database, study);
  if (!entries.ok()) return connection_->Named(entries.status());
  return entries;
}

absl::StatusOr<std::vector<std::string>> Journal::Studies() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto select = connection_->database.Prepare("SELECT DISTINCT study FROM entry WHERE study <> '' ORDER BY study");
  if (!select.ok()) return connection_->Named(select.status());
  std::vector<std::string> studies;
  for (;;) {
    const auto row = select->Step();
    if (!row.ok()) return connection_->Named(row.status());
    if (!*row) return studies;
    studies.push_back(select->Bytes(0));
  }
}

std::int64_t Journal::Version() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  // data_version grows with the commits of other connections only.
  const auto others = connection_->database.SelectInt("PRAGMA data_version");
  // A caller who sees a change reads, and gets the error there.
  return (others.ok() ? *others : -1) + connection_->own_commits;
}

absl::Status Journal::VerifyChain() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto select = connection_->database.Prepare(absl::StrCat("SELECT ", kColumns, " FROM entry ORDER BY sequence"));
  if (!select.ok()) return connection_->Named(select.status());
  ChainEnd last;
  for (;;) {
    const auto row = select->Step();
    if (!row.ok()) return connection_->Named(row.status());
    if (!*row) return absl::OkStatus();
    const JournalEntry entry = EntryOf(*select);
    const std::string digest = ChainDigest(last.digest, entry);
    if (entry.sequence != last.sequence + 1 || digest != select->Bytes(kDigestColumn)) {
      return connection_->Named(absl::DataLossError(
          absl::StrCat("entry ", entry.sequence, " (after entry ", last.sequence,
                       ") does not fit the chain of digests: the file was changed; restore it from a copy")));
    }
    last = {entry.sequence, digest};
  }
}

}  // namespace attune

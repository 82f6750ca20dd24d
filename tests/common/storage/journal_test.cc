// SPDX-License-Identifier: Apache-2.0
#include "common/storage/journal.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

using Entries = std::vector<JournalEntry>;

absl::Status AppendOne(Journal& journal, const std::string& study, const std::string& kind, const std::string& body = "") {
  return journal.Transact(study, [&](const Entries&) -> absl::StatusOr<Entries> {
    return Entries{{.study = study, .kind = kind, .site = "north", .round = 1, .body = body}};
  });
}

// Runs `body` in a child process, which must end by SIGKILL. The child opens its own connections.
void RunUntilKilled(const std::function<void()>& body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "status " << status;
}

// Changes the file behind the journal's back; returns SQLite's message, empty when it worked.
std::string RunSql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  sqlite3_open(path.c_str(), &database);
  char* error = nullptr;
  sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error);
  std::string message = error == nullptr ? "" : error;
  sqlite3_free(error);
  sqlite3_close(database);
  return message;
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

class JournalTest : public ::testing::Test {
 protected:
  std::unique_ptr<Journal> Open(bool create = true) {
    auto journal = Journal::Open(path_, create);
    EXPECT_OK(journal);
    return journal.ok() ? *std::move(journal) : nullptr;
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "journal.sqlite";
};

TEST_F(JournalTest, Transact_RoundTrip) {
  const auto journal = Open();
  const std::string blob = Sha256Hex("blob");
  const std::string body("a\0b\xff", 4);
  ASSERT_OK(journal->Transact("s1", [&](const Entries& before) -> absl::StatusOr<Entries> {
    EXPECT_THAT(before, IsEmpty());
    return Entries{{.study = "s1", .kind = "created", .body = body},
                   {.study = "s1", .kind = "answer", .site = "north", .round = 4'000'000'000u, .blob = blob}};
  }));
  ASSERT_OK(AppendOne(*journal, "", "invited"));
  ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s1"));
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].sequence, 1);
  EXPECT_THAT(entries[0].time, MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"));
  EXPECT_EQ(entries[0].body, body);
  EXPECT_EQ(entries[1].sequence, 2);
  EXPECT_EQ(entries[1].site, "north");
  EXPECT_EQ(entries[1].round, 4'000'000'000u);
  EXPECT_EQ(entries[1].blob, blob);
  ASSERT_OK_AND_ASSIGN(const Entries consortium, journal->Read(""));
  ASSERT_THAT(consortium, SizeIs(1));
  EXPECT_EQ(consortium[0].sequence, 3);
  EXPECT_OK(journal->VerifyChain());
}

TEST_F(JournalTest, Transact_SeesOnlyItsStudyInOrder) {
  const auto journal = Open();
  ASSERT_OK(AppendOne(*journal, "s1", "first"));
  ASSERT_OK(AppendOne(*journal, "s2", "other"));
  ASSERT_OK(AppendOne(*journal, "s1", "second"));
  ASSERT_OK(journal->Transact("s1", [](const Entries& before) -> absl::StatusOr<Entries> {
    EXPECT_THAT(before, SizeIs(2));
    EXPECT_EQ(before[0].kind, "first");
    EXPECT_EQ(before[1].kind, "second");
    return Entries{};
  }));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> studies, journal->Studies());
  EXPECT_THAT(studies, ElementsAre("s1", "s2"));
}

TEST_F(JournalTest, Transact_ErrorOfDecideWritesNothing) {
  const auto journal = Open();
  EXPECT_THAT(journal->Transact("s", [](const Entries&) { return absl::PermissionDeniedError("not yours"); }),
              StatusIs(absl::StatusCode::kPermissionDenied, "not yours"));
  ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s"));
  EXPECT_THAT(entries, IsEmpty());
  EXPECT_OK(AppendOne(*journal, "s", "next"));
}

TEST_F(JournalTest, Transact_BadEntryWritesNothing) {
  const auto journal = Open();
  const JournalEntry good = {.study = "s", .kind = "good"};
  const std::vector<std::pair<JournalEntry, std::string>> bad = {
      {{.study = "t", .kind = "k"}, "an entry of study 't'"},
      {{.study = "s"}, "needs a kind"},
      {{.study = "s", .kind = "k", .blob = "../../etc/passwd"}, "no SHA-256"},
  };
  for (const auto& [entry, message] : bad) {
    EXPECT_THAT(journal->Transact("s",
                                  [&, &entry = entry](const Entries&) -> absl::StatusOr<Entries> {
                                    return Entries{good, entry};
                                  }),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
  ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s"));
  EXPECT_THAT(entries, IsEmpty());
}

TEST_F(JournalTest, Transact_KilledInsideDecideLeavesNothing) {
  ASSERT_OK(AppendOne(*Open(), "s", "before"));
  RunUntilKilled([&] {
    const auto journal = Open();
    journal
        ->Transact("s",
                   [](const Entries&) -> absl::StatusOr<Entries> {
                     std::raise(SIGKILL);
                     return Entries{};
                   })
        .IgnoreError();
  });
  const auto journal = Open();
  ASSERT_OK(AppendOne(*journal, "s", "after"));
  ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s"));
  EXPECT_THAT(entries, SizeIs(2));
  EXPECT_OK(journal->VerifyChain());
}

TEST_F(JournalTest, Transact_KilledAtAnyMomentIsAllOrNothing) {
  const auto pair = [](const Entries&) -> absl::StatusOr<Entries> {
    return Entries{{.study = "s", .kind = "a", .body = std::string(20'000, 'x')}, {.study = "s", .kind = "b"}};
  };
  std::size_t acknowledged = 0;
  for (int milliseconds : {1, 3, 7, 12, 20, 33, 200, 500}) {
    int acks[2];
    ASSERT_EQ(::pipe(acks), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const auto journal = Open();
      while (journal->Transact("s", pair).ok() && ::write(acks[1], "+", 1) == 1) continue;
      ::_exit(1);
    }
    ::close(acks[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    for (char ack = 0; ::read(acks[0], &ack, 1) == 1;) acknowledged += 2;
    ::close(acks[0]);

    const auto journal = Open();
    ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s"));
    EXPECT_EQ(entries.size() % 2, 0u);
    EXPECT_GE(entries.size(), acknowledged);
    EXPECT_OK(journal->VerifyChain());
    acknowledged = entries.size();
  }
  EXPECT_GT(acknowledged, 0u) << "nobody was killed between two transactions";
}

TEST_F(JournalTest, Transact_ThreadsAndConnectionsLoseNothing) {
  constexpr int kEach = 20;
  const auto shared = Open();
  const auto append = [](Journal& journal, int worker) {
    for (int i = 0; i < kEach; ++i) EXPECT_OK(AppendOne(journal, "s", absl::StrCat("w", worker), absl::StrCat(i)));
  };
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 2; ++worker) threads.emplace_back([&, worker] { append(*shared, worker); });
  for (int worker = 2; worker < 4; ++worker) threads.emplace_back([&, worker] { append(*Open(), worker); });
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const Entries entries, shared->Read("s"));
  EXPECT_THAT(entries, SizeIs(4 * kEach));
  EXPECT_OK(shared->VerifyChain());
}

TEST_F(JournalTest, Transact_TwoProcessesCreateAndDecideInTurn) {
  // Each process writes its count of what it saw: with no loss and no overlap these are 0, 1, 2, ...
  constexpr int kEach = 15;
  const auto work = [&] {
    const auto journal = Open();
    for (int i = 0; i < kEach; ++i) {
      EXPECT_OK(journal->Transact("s", [](const Entries& before) -> absl::StatusOr<Entries> {
        return Entries{{.study = "s", .kind = "count", .body = absl::StrCat(before.size())}};
      }));
    }
  };
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  work();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const auto journal = Open(/*create=*/false);
  ASSERT_OK_AND_ASSIGN(const Entries entries, journal->Read("s"));
  ASSERT_THAT(entries, SizeIs(2 * kEach));
  for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].body, absl::StrCat(i));
  EXPECT_OK(journal->VerifyChain());
}

TEST_F(JournalTest, Open_ManyAtOnceCreateOne) {
  // One that is being created must not be taken for another program's file.
  for (int round = 0; round < 20; ++round) {
    const std::string path = folder_ / absl::StrCat("journal-", round);
    std::vector<std::thread> threads;
    for (int worker = 0; worker < 4; ++worker) {
      threads.emplace_back([&] { EXPECT_OK(Journal::Open(path, true)); });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(JournalTest, Version_ChangesWithOwnAndOtherCommits) {
  const auto mine = Open();
  const auto other = Open();
  const std::int64_t start = mine->Version();
  EXPECT_EQ(mine->Version(), start);
  ASSERT_OK(AppendOne(*mine, "s", "mine"));
  const std::int64_t after_mine = mine->Version();
  EXPECT_NE(after_mine, start);
  ASSERT_OK(AppendOne(*other, "s", "other"));
  const std::int64_t after_other = mine->Version();
  EXPECT_NE(after_other, after_mine);
  EXPECT_NE(after_other, start);
  ASSERT_OK(mine->Transact("s", [](const Entries&) -> absl::StatusOr<Entries> { return Entries{}; }));
  EXPECT_EQ(mine->Version(), after_other);
}

TEST_F(JournalTest, Open_FilesAreTheOwnersOnly) {
  const auto journal = Open();
  ASSERT_OK(AppendOne(*journal, "s", "k"));
  for (const char* suffix : {"", "-wal", "-shm"}) EXPECT_EQ(ModeOf(path_ + suffix), 0600u) << suffix;
}

TEST_F(JournalTest, Open_Missing) {
  EXPECT_THAT(Journal::Open(path_, false), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  EXPECT_THAT(Journal::Open(folder_ / "no/such/folder", true), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such")));
}

TEST_F(JournalTest, Open_NotAJournal) {
  ASSERT_OK(WriteFileAtomically(path_, std::string(5000, 'x'), FileAccess::kOwnerOnly));
  EXPECT_THAT(Journal::Open(path_, true), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));

  const std::string other = folder_ / "other.sqlite";
  ASSERT_EQ(RunSql(other, "CREATE TABLE t (x)"), "");
  EXPECT_THAT(Journal::Open(other, true), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not an Attune journal")));

  const std::string empty = folder_ / "empty";
  ASSERT_OK(WriteFileAtomically(empty, "", FileAccess::kOwnerOnly));
  EXPECT_THAT(Journal::Open(empty, false), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("empty")));
  EXPECT_OK(Journal::Open(empty, true));  // where a process was killed while it created the journal
}

TEST_F(JournalTest, Open_OtherFormatVersion) {
  Open();
  ASSERT_EQ(RunSql(path_, "PRAGMA user_version = 7"), "");
  EXPECT_THAT(Journal::Open(path_, false), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("format version 7")));
}

TEST_F(JournalTest, Triggers_RefuseChange) {
  const auto journal = Open();
  ASSERT_OK(AppendOne(*journal, "s", "k"));
  EXPECT_THAT(RunSql(path_, "UPDATE entry SET kind = 'y'"), HasSubstr("never changed"));
  EXPECT_THAT(RunSql(path_, "DELETE FROM entry"), HasSubstr("never deleted"));
  EXPECT_THAT(RunSql(path_, "INSERT OR REPLACE INTO entry VALUES (1, '', '', 'k', '', 1, '', x'', '')"),
              HasSubstr("only appended"));
}

TEST_F(JournalTest, VerifyChain_NamesTheChangedEntry) {
  const auto journal = Open();
  for (const char* kind : {"a", "b", "c"}) ASSERT_OK(AppendOne(*journal, "s", kind));
  const std::string unlock = "DROP TRIGGER entry_is_never_changed; DROP TRIGGER entry_is_never_deleted;";
  // A byte moved from one field to the next.
  ASSERT_EQ(RunSql(path_, unlock + "UPDATE entry SET kind = '', site = 'bnorth' WHERE sequence = 2"), "");
  EXPECT_THAT(journal->VerifyChain(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("entry 2 ")));
  ASSERT_EQ(RunSql(path_, "UPDATE entry SET kind = 'b', site = 'north' WHERE sequence = 2"), "");
  EXPECT_OK(journal->VerifyChain());
  ASSERT_EQ(RunSql(path_, "DELETE FROM entry WHERE sequence = 2"), "");
  EXPECT_THAT(journal->VerifyChain(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("entry 3 ")));
}

TEST_F(JournalTest, Read_DamagedFileIsAnError) {
  {
    const auto journal = Open();
    for (int i = 0; i < 200; ++i) ASSERT_OK(AppendOne(*journal, "s", "k", std::string(500, 'x')));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(path_));
  for (std::size_t at = 100; at < bytes.size(); at += 16001) {
    std::string damaged = bytes;
    for (std::size_t i = at; i < std::min(at + 64, damaged.size()); ++i) damaged[i] = static_cast<char>(damaged[i] ^ 0x5a);
    const std::string path = folder_ / "damaged";
    ASSERT_OK(WriteFileAtomically(path, damaged, FileAccess::kOwnerOnly));
    const auto journal = Journal::Open(path, false);
    if (!journal.ok()) continue;
    (*journal)->Read("s").IgnoreError();  // an error or what is left, and no crash
    (*journal)->VerifyChain().IgnoreError();
  }
}

}  // namespace
}  // namespace attune

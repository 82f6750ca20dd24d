// SPDX-License-Identifier: Apache-2.0
#include "common/storage/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/digest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::StatusIs;
using testing::TempFolder;
using Code = absl::StatusCode;
namespace fs = std::filesystem;

// A keyed digest that is good enough to be forged by nobody in these tests.
AuditLog::Seal SealWith(const std::string& key) {
  return [key](absl::string_view bytes) { return Sha256Hex(absl::StrCat(key, bytes)); };
}

class AuditLogTest : public ::testing::Test {
 protected:
  void Fill(int entries) {
    for (int i = 1; i <= entries; ++i) ASSERT_OK(log_.Append("event", {{"number", absl::StrCat(i)}}));
  }

  std::string Text() const { return folder_.Read("audit/audit.jsonl"); }

  // Does to the lines of the log what somebody might.
  void Change(const std::function<void(std::vector<std::string>&)>& change) {
    std::vector<std::string> lines = absl::StrSplit(Text(), '\n', absl::SkipEmpty());
    change(lines);
    folder_.Write("audit/audit.jsonl", lines.empty() ? "" : absl::StrJoin(lines, "\n") + "\n");
  }

  // A line whose own digest is right, as somebody would make it who knows the format.
  static std::string Forged(std::string line, const std::string& from, const std::string& to) {
    line.replace(line.find(from), from.size(), to);
    const std::string text = line.substr(0, line.find(",\"digest\""));
    return absl::StrCat(text, ",\"digest\":\"", Sha256Hex(text), "\"}");
  }

  void ExpectDamaged(const std::string& where) { EXPECT_THAT(log_.Verify(), StatusIs(Code::kDataLoss, HasSubstr(where))); }

  const TempFolder folder_;
  AuditLog log_{folder_ / "audit", SealWith("key")};
};

TEST_F(AuditLogTest, Append_LinesAreChained) {
  ASSERT_OK_AND_ASSIGN(const AuditHead empty, log_.Verify());
  EXPECT_EQ(empty.entries, 0u);
  ASSERT_OK(log_.Append("approved", {{"study", "demo"}, {"odd", "\"\\\n\x01"}}));
  ASSERT_OK(log_.Append("release", {}));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, log_.Lines());
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], HasSubstr(R"({"sequence":1,"time":"2)"));
  EXPECT_THAT(lines[0], HasSubstr(R"("event":"approved","fields":{"study":"demo","odd":"\"\\\u000a\u0001"},"previous":"000)"));
  ASSERT_OK_AND_ASSIGN(const AuditHead head, log_.Verify());
  EXPECT_EQ(head.entries, 2u);
  EXPECT_THAT(lines[1], HasSubstr(head.digest));
  EXPECT_EQ(fs::status(log_.LogPath()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AuditLogTest, Append_SeveralAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      AuditLog own(folder_ / "audit", SealWith("key"));
      for (int i = 0; i < 5; ++i) EXPECT_OK(own.Append("event", {}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const AuditHead head, log_.Verify());
  EXPECT_EQ(head.entries, 20u);
}

TEST_F(AuditLogTest, Verify_Edit) {
  Fill(3);
  Change([](auto& lines) { lines[1].replace(lines[1].find("\"2\""), 3, "\"7\""); });
  ExpectDamaged("line 2");
}

TEST_F(AuditLogTest, Verify_EditWithItsDigestMadeAnew) {
  Fill(3);
  Change([](auto& lines) { lines[1] = Forged(lines[1], "\"number\":\"2\"", "\"number\":\"7\""); });
  ExpectDamaged("line 3");  // which names another line before
}

TEST_F(AuditLogTest, Verify_LastLineMadeAnew) {
  Fill(3);
  Change([](auto& lines) { lines[2] = Forged(lines[2], "\"number\":\"3\"", "\"number\":\"7\""); });
  ExpectDamaged("line 3");
}

TEST_F(AuditLogTest, Verify_Gap) {
  Fill(3);
  Change([](auto& lines) { lines.erase(lines.begin() + 1); });
  ExpectDamaged("line 2");
}

TEST_F(AuditLogTest, Verify_Reordered) {
  Fill(3);
  Change([](auto& lines) { std::swap(lines[0], lines[1]); });
  ExpectDamaged("line 1");
}

TEST_F(AuditLogTest, Verify_LineAdded) {
  Fill(2);
  Change([](auto& lines) {
    lines.push_back(Forged(Forged(lines[1], "\"sequence\":2", "\"sequence\":3"),
                           lines[1].substr(lines[1].find("\"previous\":\""), 76),
                           absl::StrCat("\"previous\":\"", lines[1].substr(lines[1].size() - 66, 64))));
  });
  ExpectDamaged("line 3");
  EXPECT_THAT(log_.Append("event", {}), StatusIs(Code::kDataLoss, HasSubstr("its head says")));
}

TEST_F(AuditLogTest, Verify_EndRemoved) {
  Fill(4);
  Change([](auto& lines) { lines.resize(2); });
  ExpectDamaged("ends after line 2 of 4");
  EXPECT_THAT(log_.Append("event", {}), StatusIs(Code::kDataLoss, HasSubstr("its head says")));
}

TEST_F(AuditLogTest, Verify_EndRemovedWithinALine) {
  Fill(4);
  const std::string text = Text();
  folder_.Write("audit/audit.jsonl", text.substr(0, text.size() / 2 + 10));
  ExpectDamaged("lines after it were removed");
}

TEST_F(AuditLogTest, Verify_AllRemoved) {
  Fill(2);
  fs::remove(log_.LogPath());
  ExpectDamaged("of 2");
}

TEST_F(AuditLogTest, Verify_HeadRemovedOrExchanged) {
  Fill(2);
  const std::string old = folder_.Read("audit/audit.head");
  Fill(1);
  const std::string head = folder_.Read("audit/audit.head");
  fs::remove(log_.HeadPath());
  ExpectDamaged("audit.head' is missing");
  EXPECT_THAT(log_.Append("event", {}), StatusIs(Code::kDataLoss, HasSubstr("audit.head")));
  // Somebody without the key shortens the log and makes a head for it.
  folder_.Write("audit/audit.head", "2" + head.substr(1));
  ExpectDamaged("was changed, or its key was");
  folder_.Write("audit/audit.head", head);
  EXPECT_THAT(AuditLog(folder_ / "audit", SealWith("another")).Verify(), StatusIs(Code::kDataLoss, HasSubstr("its key was")));
}

TEST_F(AuditLogTest, TornLastLine_IsToldApartAndCompleted) {
  Fill(2);
  const std::string whole = Text();
  const std::size_t second = whole.find('\n') + 1;
  for (const std::size_t size : {second, second + 20, whole.size() - 1}) {
    folder_.Write("audit/audit.jsonl", whole.substr(0, size));
    ASSERT_OK_AND_ASSIGN(const AuditHead head, log_.Verify());
    EXPECT_EQ(head.entries, 2u) << size;
  }
  ASSERT_OK(log_.Append("next", {}));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, log_.Lines());
  ASSERT_THAT(lines, SizeIs(4));
  EXPECT_EQ(absl::StrCat(lines[0], "\n", lines[1], "\n"), whole);
  EXPECT_THAT(lines[2], HasSubstr(R"("event":"repaired","fields":{"entry":"2"})"));
}

TEST_F(AuditLogTest, KilledBetweenHeadAndLine) {
  Fill(1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("ATTUNE_CRASH_AT", "audit.head_written", 1);
    log_.Append("last words", {}).IgnoreError();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_OK(log_.Append("next", {}));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, log_.Lines());
  ASSERT_THAT(lines, SizeIs(4));
  EXPECT_THAT(lines[1], HasSubstr("last words"));
  EXPECT_THAT(lines[2], HasSubstr("repaired"));
}

TEST_F(AuditLogTest, VerifyContains_FindsALogThatWasMadeAnew) {
  Fill(2);
  ASSERT_OK_AND_ASSIGN(const AuditHead noted, log_.Verify());
  Fill(1);
  EXPECT_OK(log_.VerifyContains(noted.digest));
  // Whoever has the key can write another history, which is whole in itself.
  fs::remove_all(folder_ / "audit");
  for (int i = 0; i < 3; ++i) ASSERT_OK(log_.Append("another", {}));
  EXPECT_OK(log_.Verify());
  EXPECT_THAT(log_.VerifyContains(noted.digest), StatusIs(Code::kDataLoss, HasSubstr(noted.digest)));
}

TEST_F(AuditLogTest, Export_OnlyWhatIsWhole) {
  Fill(2);
  ASSERT_OK_AND_ASSIGN(const AuditHead head, ExportAudit(log_, folder_ / "out.jsonl"));
  const std::string text = folder_.Read("out.jsonl");
  EXPECT_EQ(text.substr(0, Text().size()), Text());
  EXPECT_THAT(text, HasSubstr(absl::StrCat("\"entries\":2,\"head\":\"", head.digest, "\"}")));
  ASSERT_OK_AND_ASSIGN(const std::string shown, DescribeAudit(log_));
  EXPECT_THAT(shown, HasSubstr("\"fields\":{\"number\":\"2\"}}\n"));
  Change([](auto& lines) {
    lines.pop_back();
    lines.pop_back();
  });
  EXPECT_THAT(ExportAudit(log_, folder_ / "out2.jsonl"), StatusIs(Code::kDataLoss, HasSubstr("")));
  EXPECT_FALSE(fs::exists(folder_ / "out2.jsonl"));
}

}  // namespace
}  // namespace attune

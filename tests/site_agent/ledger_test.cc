// SPDX-License-Identifier: Apache-2.0
#include "site_agent/ledger.h"

#include <algorithm>
#include <filesystem>

#include "common/base/digest.h"
#include "site_agent/answer.h"
#include "site_agent/policy.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::StudyAtSite;
using testing::TempFolder;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() { policy_.set_max_releases_per_subject_set(100); }

  Ledger Open() const {
    auto ledger = Ledger::Open(temp_ / "ledger");
    EXPECT_OK(ledger);
    return *std::move(ledger);
  }

  // People `from` to `to` - 1, in one batch.
  static BatchSurvey People(const Ledger& ledger, int from, int to, const std::string& batch = "a/one") {
    BatchSurvey survey;
    survey.batch = batch;
    for (int i = from; i < to; ++i) survey.digests.push_back(HmacSha256(ledger.key(), absl::StrCat("sub-", i)).substr(0, 16));
    survey.people = to - from;
    std::sort(survey.digests.begin(), survey.digests.end());
    return survey;
  }

  absl::Status Release(const std::string& manifest, int from, int to, const std::string& reason = "") const {
    const Ledger ledger = Open();
    return ledger.Record({.study = "s", .manifest_sha256 = manifest, .override_reason = reason}, policy_,
                         {People(ledger, from, to)});
  }

  std::vector<v1::ReleaseRecord> Records() const {
    std::vector<v1::ReleaseRecord> records;
    EXPECT_OK(Open().ForEach([&](const v1::ReleaseRecord& record) {
      records.push_back(record);
      return absl::OkStatus();
    }));
    return records;
  }

  TempFolder temp_;
  v1::SitePolicy policy_ = DefaultPolicy();
};

TEST_F(LedgerTest, Record_TheSameManifestAgainIsTheSameRelease) {
  policy_ = DefaultPolicy();
  for (int i = 0; i < 3; ++i) EXPECT_OK(Release("m1", 0, 30));
  EXPECT_EQ(Records().size(), 1u);
  EXPECT_EQ(PeopleOf(Records()[0]), 30);
}

TEST_F(LedgerTest, Record_DifferenceOfFewIsRefused) {
  ASSERT_OK(Release("m1", 0, 30));
  EXPECT_THAT(Release("m2", 0, 31), StatusIs(kDenied, AllOf(HasSubstr("differ by 1"), HasSubstr("--override-ledger"))));
  EXPECT_FALSE(Release("m2", 1, 30).ok());
  EXPECT_THAT(Release("m2", 0, 39), StatusIs(kDenied, HasSubstr("differ by 9")));
  EXPECT_THAT(Release("m2", 4, 35), StatusIs(kDenied, HasSubstr("differ by 9"))) << "some gone, some new";
  EXPECT_EQ(Records().size(), 1u);
  EXPECT_OK(Release("m2", 0, 40)) << "10 more";
  EXPECT_OK(Release("m3", 0, 30)) << "exactly the same people";
  EXPECT_OK(Release("m4", 100, 103)) << "nobody in common";
  EXPECT_EQ(Records().size(), 4u);
}

TEST_F(LedgerTest, Record_TheSameManifestOnOtherPeopleIsNotARetry) {
  ASSERT_OK(Release("m1", 0, 30));
  EXPECT_THAT(Release("m1", 0, 29), StatusIs(kDenied, HasSubstr("differ by 1")));
}

TEST_F(LedgerTest, Record_BudgetOfReleases) {
  policy_ = DefaultPolicy();
  ASSERT_OK(Release("m1", 0, 30));
  EXPECT_THAT(Release("m2", 0, 40), StatusIs(kDenied, HasSubstr("max_releases_per_subject_set"))) << "10 more";
  EXPECT_FALSE(Release("m2", 0, 30).ok()) << "the same people";
  EXPECT_THAT(Release("m2", 29, 60), StatusIs(kDenied, HasSubstr("released 1 time"))) << "one in common";
  EXPECT_OK(Release("m2", 30, 60)) << "nobody in common";
  policy_.set_max_releases_per_subject_set(2);
  EXPECT_OK(Release("m3", 0, 30));
  EXPECT_FALSE(Release("m4", 0, 30).ok());
}

TEST_F(LedgerTest, Record_OverrideIsOnRecord) {
  policy_ = DefaultPolicy();
  ASSERT_OK(Release("m1", 0, 30));
  ASSERT_FALSE(Release("m2", 0, 31).ok());
  EXPECT_OK(Release("m2", 0, 31, "agreed with the ethics board"));
  ASSERT_EQ(Records().size(), 2u);
  EXPECT_EQ(Records()[1].override_reason(), "agreed with the ethics board");
  const Ledger ledger = Open();
  ASSERT_OK_AND_ASSIGN(const auto rules, ledger.Judge({.study = "s", .manifest_sha256 = "m3", .override_reason = "why"},
                                                      policy_, {People(ledger, 0, 32)}));
  for (const RuleResult& rule : rules) EXPECT_THAT(rule.rule, HasSubstr("overridden, \"why\""));
}

TEST_F(LedgerTest, Judge_BatchesOneByOne) {
  // The site's people are the same, but one has changed batches: the difference of the batches' sums is that one.
  const Ledger ledger = Open();
  const v1::SitePolicy& policy = policy_;
  ASSERT_OK(ledger.Record({.study = "s", .manifest_sha256 = "m1"}, policy,
                          {People(ledger, 0, 30, "a/one"), People(ledger, 30, 60, "a/two")}));
  EXPECT_THAT(ledger.Record({.study = "s", .manifest_sha256 = "m2"}, policy,
                            {People(ledger, 0, 31, "a/one"), People(ledger, 31, 60, "a/two")}),
              StatusIs(kDenied, HasSubstr("differ by 1")));
  // One batch now, two then: their union is the same.
  EXPECT_OK(ledger.Record({.study = "s", .manifest_sha256 = "m3"}, policy, {People(ledger, 0, 60)}));
  EXPECT_FALSE(ledger.Record({.study = "s", .manifest_sha256 = "m4"}, policy, {People(ledger, 0, 59)}).ok());
}

TEST_F(LedgerTest, Files_HoldNoIdsAndAreThe_OwnersOnly) {
  ASSERT_OK(Release("m1", 0, 30));
  for (const char* name : {"key", "000001.release"}) {
    const std::string path = temp_ / (std::string("ledger/") + name);
    EXPECT_EQ(std::filesystem::status(path).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    EXPECT_EQ(ReadFile(path)->find("sub-"), std::string::npos);
  }
  EXPECT_EQ(ReadFile(temp_ / "ledger/key")->size(), 32u);
}

TEST_F(LedgerTest, Damage_IsDataLossAndSaysWhatToDo) {
  ASSERT_OK(Release("m1", 0, 30));
  ASSERT_OK(Release("m2", 100, 130));
  const std::string first = temp_ / "ledger/000001.release";
  const std::string sound = *ReadFile(first);
  const auto expect_loss = [&](const char* words) {
    EXPECT_THAT(Release("m3", 200, 230), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(words), HasSubstr("backup"))));
  };
  for (const std::size_t at : {std::size_t{0}, std::size_t{64}, std::size_t{80}, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    ASSERT_OK(WriteFileAtomically(first, damaged, FileAccess::kOwnerOnly));
    expect_loss("000001.release' is damaged");
  }
  ASSERT_OK(WriteFileAtomically(first, sound.substr(0, sound.size() - 16), FileAccess::kOwnerOnly));
  expect_loss("000001.release' is damaged");
  std::filesystem::remove(first);
  expect_loss("000001.release' is missing");
  ASSERT_OK(WriteFileAtomically(first, sound, FileAccess::kOwnerOnly));
  const std::string key = *ReadFile(temp_ / "ledger/key");
  ASSERT_OK(WriteFileAtomically(temp_ / "ledger/key", std::string(32, 'k'), FileAccess::kOwnerOnly));
  expect_loss("another key");
  std::filesystem::remove(temp_ / "ledger/key");
  EXPECT_THAT(Ledger::Open(temp_ / "ledger"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("key")));
  ASSERT_OK(WriteFileAtomically(temp_ / "ledger/key", key, FileAccess::kOwnerOnly));
  EXPECT_OK(Release("m3", 200, 230));
}

// ---- In a study ----

std::vector<v1::ReleaseRecord> RecordsOf(const StudyAtSite& at) {
  std::vector<v1::ReleaseRecord> records;
  const auto ledger = Ledger::Open(at.home.LedgerFolder());
  EXPECT_OK(ledger);
  EXPECT_OK(ledger->ForEach([&](const v1::ReleaseRecord& record) {
    records.push_back(record);
    return absl::OkStatus();
  }));
  return records;
}

TEST(LedgerOfAStudyTest, Run_IsRecordedOnceWhateverBreaks) {
  StudyAtSite at;
  for (const char* broken : {"submit", "submitted", "report"}) {
    at.courier->break_at = broken;
    ASSERT_FALSE(at.Run().ok());
    ASSERT_EQ(RecordsOf(at).size(), 1u) << broken;
  }
  ASSERT_OK(at.Run());
  const std::vector<v1::ReleaseRecord> records = RecordsOf(at);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].study(), "s");
  EXPECT_EQ(records[0].manifest_sha256(), at.study->held.sha256);
  ASSERT_EQ(records[0].sets_size(), 2);
  EXPECT_EQ(records[0].sets(1).batch(), "a/two");
  EXPECT_EQ(PeopleOf(records[0]), 24);
}

TEST(LedgerOfAStudyTest, Run_OnRecordBeforeTheAnswerIsKept) {
  StudyAtSite at;
  // A ledger that cannot be written lets nothing be computed.
  ASSERT_OK(WriteFileAtomically(at.home.LedgerFolder(), "a file", FileAccess::kOwnerOnly));
  EXPECT_FALSE(at.Run().ok());
  EXPECT_EQ(at.Kept("own-1.bundle") + at.Kept("answer-1.bundle"), "");
  EXPECT_TRUE(at.courier->submitted.empty());
}

TEST(LedgerOfAStudyTest, Run_AnotherStudyOnOneMorePersonIsRefused) {
  StudyAtSite at;
  ASSERT_OK(at.Run());
  // The same study, frozen again without one person.
  v1::Manifest manifest = testing::MakeManifest();
  manifest.mutable_config()->set_min_batch_size(11);
  const std::string bytes = CanonicalBytes(manifest);
  v1::Approval approval;
  approval.set_manifest_sha256(Sha256Hex(bytes));
  ASSERT_OK(at.study->folder.Approve(bytes, approval));
  ASSERT_OK_AND_ASSIGN(*at.study, OpenApprovedStudy(at.home, "a", "s"));
  std::vector<testing::Row> rows = testing::RowsOf("a");
  rows.erase(rows.begin());
  at.SetRows(rows);
  at.study->policy.set_max_releases_per_subject_set(2);
  at.ForgetCoordinator();
  std::filesystem::remove_all(at.out());
  EXPECT_THAT(at.Run(), StatusIs(kDenied, AllOf(HasSubstr("(11)"), HasSubstr("differ by 1"))));
  EXPECT_TRUE(at.courier->submitted.empty());
  EXPECT_EQ(RecordsOf(at).size(), 1u);
  at.study->approval->set_override_ledger("the person withdrew");
  EXPECT_OK(at.Run());
  ASSERT_EQ(RecordsOf(at).size(), 2u);
  EXPECT_EQ(RecordsOf(at)[1].override_reason(), "the person withdrew");
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// Verification, views, estimates from files, and the state folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "coordinator/errors.h"
#include "coordinator/estimate.h"
#include "coordinator/state_folder.h"
#include "coordinator/study_view.h"
#include "coordinator/text_table.h"
#include "coordinator/verify.h"
#include "tests/coordinator/fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

class RecordTest : public DeskTest {
 public:
  absl::Status Verify() {
    steps_.clear();
    absl::StatusOr<BlobStore> scratch = BlobStore::Open(folder_ / "verify");
    if (!scratch.ok()) return scratch.status();
    return VerifyStudy(
        "net", "demo", *journal_, *blobs_, [this](absl::string_view) { return method_; }, *scratch,
        [this](absl::string_view step) { steps_.emplace_back(step); });
  }

  std::vector<std::string> steps_;
};

TEST_F(RecordTest, Verify_WholeStudy) {
  StartDemo();
  AnswerBothRounds({"north", "south"});
  ASSERT_OK(desk_->Report("north", ReportOf(v1::SITE_STATE_HARMONIZED)));
  EXPECT_OK(Verify());
  EXPECT_THAT(steps_, Contains(HasSubstr("'corrected' of round 2")));
  EXPECT_THAT(steps_, Contains(HasSubstr("'corrected-site' for site 'south'")));
}

TEST_F(RecordTest, Verify_FailedStudy) {
  const FakeMethod demanding(100);
  method_ = &demanding;
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK(Submit("south", AnswerOf("south")));
  EXPECT_OK(Verify());
  EXPECT_THAT(steps_, Contains(HasSubstr("fewer than 100")));
}

TEST_F(RecordTest, Verify_RecruitingAndUnknown) {
  EXPECT_THAT(Verify(), StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  EXPECT_OK(Verify());
}

TEST_F(RecordTest, Verify_DamagedBlob) {
  StartDemo();
  AnswerBothRounds({"north", "south"});
  std::ofstream(blobs_->PathOf(Status().correction->common_sha256), std::ios::app) << "x";
  EXPECT_THAT(Verify(), StatusIs(Code::kDataLoss, HasSubstr("'corrected'")));
}

TEST_F(RecordTest, Verify_ForgedOutcome) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK(Submit("south", AnswerOf("south")));
  ASSERT_OK(Submit("north", AnswerOf("north")));
  const Upload last = AnswerOf("south");
  const FakeMethod* const real = &fake_;
  method_ = nullptr;
  ASSERT_OK(Submit("south", last));
  method_ = real;
  // Somebody records another correction than the one that follows: the north's answer, called a correction.
  ASSERT_OK(journal_->Transact("demo", [&](const std::vector<JournalEntry>&) -> absl::StatusOr<std::vector<JournalEntry>> {
    JournalEntry e;
    e.study = "demo";
    e.kind = entry::kCorrected;
    e.round = 2;
    e.blob = last.header.bundle().sha256();
    return std::vector<JournalEntry>{e};
  }));
  EXPECT_THAT(Verify(),
              StatusIs(Code::kDataLoss, AllOf(HasSubstr("computed again"), HasSubstr(last.header.bundle().sha256()))));
}

TEST_F(RecordTest, Replay_EntryThatCannotFollow) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(journal_->Transact("demo", [&](const std::vector<JournalEntry>&) -> absl::StatusOr<std::vector<JournalEntry>> {
    JournalEntry e;
    e.study = "demo";
    e.kind = "unheard-of";
    return std::vector<JournalEntry>{e};
  }));
  EXPECT_THAT(desk_->Status("demo"), StatusIs(Code::kDataLoss, HasSubstr("'unheard-of'")));
  EXPECT_THAT(ForPeer(desk_->Status("demo").status()), StatusIs(Code::kInternal, HasSubstr("operator")));
}

TEST_F(RecordTest, ForPeer_DiskFull) {
  EXPECT_THAT(ForPeer(LocalError(absl::ResourceExhaustedError("disk full"))),
              StatusIs(Code::kUnavailable, HasSubstr("make room")));
  EXPECT_THAT(ForPeer(absl::NotFoundError("no study")), StatusIs(Code::kNotFound, HasSubstr("no study")));
}

TEST_F(RecordTest, View_WhileRunning) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK_AND_ASSIGN(const v1::StudyView view, ViewOf(Status(), *blobs_));
  EXPECT_EQ(view.state(), "running");
  EXPECT_EQ(view.round(), 1u);
  ASSERT_EQ(view.sites_size(), 2);
  EXPECT_EQ(view.sites(0).state(), "answered");
  EXPECT_EQ(view.sites(1).state(), "asked");
  EXPECT_THAT(FormatView(view), AllOf(HasSubstr("waits for  south"), HasSubstr("n1, n2"), HasSubstr(manifest_sha256_)));
}

TEST_F(RecordTest, Estimate_RefusesPooled) {
  StartDemo("release: pooled\n", true);
  ASSERT_OK_AND_ASSIGN(const std::string manifest, ReadFile(blobs_->PathOf(manifest_sha256_)));
  EXPECT_THAT(EstimateFromFiles(
                  manifest, {}, [this](absl::string_view) { return method_; }, folder_ / "scratch")
                  .status(),
              StatusIs(Code::kFailedPrecondition, HasSubstr("per_batch")));
}

TEST_F(RecordTest, Estimate_ChecksAnswers) {
  StartDemo();
  ASSERT_OK_AND_ASSIGN(const std::string manifest, ReadFile(blobs_->PathOf(manifest_sha256_)));
  const auto estimate = [&](const std::vector<std::string>& answers) {
    return EstimateFromFiles(
               manifest, answers, [this](absl::string_view) { return method_; }, folder_ / "scratch")
        .status();
  };
  const std::string north = folder_.Write("north.bundle", AnswerOf("north").bytes);
  const std::string south = folder_.Write("south.bundle", AnswerOf("south").bytes);
  EXPECT_THAT(estimate({north}), StatusIs(Code::kFailedPrecondition, HasSubstr("no answer of south")));
  EXPECT_THAT(estimate({north, north}), StatusIs(Code::kInvalidArgument, HasSubstr("both answers of site 'north'")));
  EXPECT_THAT(estimate({north, folder_.Write("x", "garbage")}), StatusIs(Code::kDataLoss, HasSubstr("")));
  EXPECT_THAT(estimate({north, south}), StatusIs(Code::kFailedPrecondition, HasSubstr("more than one round")));
}

TEST(StateFolder, InitAndOpen) {
  const TempFolder folder;
  EXPECT_THAT(OpenStateFolder(folder / "c").status(), StatusIs(Code::kFailedPrecondition, HasSubstr("pki init")));
  EXPECT_THAT(InitStateFolder(folder / "c", "no name", {"localhost"}),
              StatusIs(Code::kInvalidArgument, HasSubstr("'no name'")));
  ASSERT_OK(InitStateFolder(folder / "c", "net", {"localhost", "127.0.0.1"}));
  EXPECT_THAT(InitStateFolder(folder / "c", "net", {"localhost"}), StatusIs(Code::kAlreadyExists, HasSubstr("authority")));
  ASSERT_OK_AND_ASSIGN(const StateFolder state, OpenStateFolder(folder / "c"));
  EXPECT_EQ(state.consortium, "net");
  const auto mode = std::filesystem::status(folder / "c/pki/authority.key").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(TextTable, Aligns) {
  EXPECT_EQ(FormatTable({{"", "before", "after"}, {"features", "1", "22"}}, true),
            "          before  after\nfeatures       1     22\n");
  EXPECT_EQ(FormatTable({{"a", "bb"}, {"ccc"}}, false), "a    bb\nccc\n");
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "coordinator/errors.h"
#include "tests/coordinator/fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Code = absl::StatusCode;

// A second coordinator, to compare with.
class Another : public DeskTest {
 private:
  void TestBody() override {}
};

// ---- Creating and starting ----

TEST_F(DeskTest, CreateStudy_TwiceTheSame) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  EXPECT_OK(desk_->CreateStudy(Config(), false));
  EXPECT_EQ(journal_->Read("demo")->size(), 1u);
}

TEST_F(DeskTest, CreateStudy_AnotherOfThatName) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  EXPECT_THAT(desk_->CreateStudy(Config("min_batch_size: 20\n"), false),
              StatusIs(Code::kFailedPrecondition, HasSubstr("'demo' with another study file exists")));
}

TEST_F(DeskTest, Register_PooledNeedsACertificate) {
  ASSERT_OK(desk_->CreateStudy(Config("release: pooled\n"), false));
  EXPECT_THAT(desk_->Register("north", Registration({"n1"})), StatusIs(Code::kInvalidArgument, HasSubstr("certificate")));
}

TEST_F(DeskTest, Register_PooledWithPlainSumsNeedsNone) {
  ASSERT_OK(desk_->CreateStudy(Config("release: pooled\n"), true));
  EXPECT_OK(desk_->Register("north", Registration({"n1"})));
}

TEST_F(DeskTest, CreateStudy_UnknownMethod) {
  method_ = nullptr;
  EXPECT_THAT(desk_->CreateStudy(Config(), false), StatusIs(Code::kInvalidArgument, HasSubstr("'combat/1'")));
}

TEST_F(DeskTest, UnknownStudy) {
  EXPECT_THAT(desk_->Register("north", Registration({"n1"})), StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  EXPECT_THAT(desk_->GetStudy("north", "demo"), StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  EXPECT_THAT(desk_->Next("north", NextOf()), StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  EXPECT_THAT(desk_->Report("north", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)),
              StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  EXPECT_THAT(desk_->StartStudy("../demo"), StatusIs(Code::kNotFound, Not(HasSubstr(".."))));
}

TEST_F(DeskTest, Register_Malformed) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  EXPECT_THAT(desk_->Register("north", Registration({})), StatusIs(Code::kInvalidArgument, HasSubstr("at least one")));
  EXPECT_THAT(desk_->Register("north", Registration({"b", "a"})), StatusIs(Code::kInvalidArgument, HasSubstr("sorted")));
  EXPECT_THAT(desk_->Register("north", Registration({"a", "a"})), StatusIs(Code::kInvalidArgument, HasSubstr("sorted")));
  EXPECT_THAT(desk_->Register("north", Registration({"a\n"})), StatusIs(Code::kInvalidArgument, HasSubstr("control")));
  EXPECT_THAT(desk_->Register("north", Registration({"a"}, {"x", "x"})),
              StatusIs(Code::kInvalidArgument, HasSubstr("repeated")));
  EXPECT_THAT(Status().sites, IsEmpty());
}

TEST_F(DeskTest, Register_ReplacesWhileRecruiting) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("north", Registration({"n1"})));
  ASSERT_OK(desk_->Register("north", Registration({"n1", "n2"})));
  ASSERT_OK(desk_->Register("north", Registration({"n1", "n2"})));
  EXPECT_THAT(Status().sites.at("north").labels, ElementsAre("n1", "n2"));
  EXPECT_EQ(journal_->Read("demo")->size(), 3u);
}

TEST_F(DeskTest, Register_AfterStart) {
  StartDemo();
  EXPECT_OK(desk_->Register("south", Registration({"s1"})));
  EXPECT_THAT(desk_->Register("south", Registration({"s2"})),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no longer recruits")));
  EXPECT_THAT(desk_->Register("west", Registration({"w"})),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no longer recruits")));
}

TEST_F(DeskTest, Start_OneBatch) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("south", Registration({"s1"})));
  EXPECT_THAT(desk_->StartStudy("demo"), StatusIs(Code::kFailedPrecondition, HasSubstr("at least 2")));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_RECRUITING);
}

TEST_F(DeskTest, Start_FeaturesDiffer) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("north", Registration({"n1"}, {"a", "b"})));
  ASSERT_OK(desk_->Register("south", Registration({"s1"}, {"a", "c", "d"})));
  EXPECT_THAT(desk_->StartStudy("demo"),
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("site 'south'"), HasSubstr("missing b"), HasSubstr("additional c, d"))));
}

TEST_F(DeskTest, Start_MethodRefuses) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("north", Registration({"n1", "n2"}, {"forbidden"})));
  EXPECT_THAT(desk_->StartStudy("demo"), StatusIs(Code::kInvalidArgument, HasSubstr("forbidden")));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_RECRUITING);
}

TEST_F(DeskTest, Start_FreezesManifest) {
  StartDemo();
  ASSERT_OK_AND_ASSIGN(const v1::GetStudyReply reply, desk_->GetStudy("south", "demo"));
  EXPECT_EQ(Sha256Hex(reply.manifest()), manifest_sha256_);
  ASSERT_OK_AND_ASSIGN(const v1::Manifest manifest, ParseManifest(reply.manifest()));
  EXPECT_THAT(manifest.features(), ElementsAre("b", "a"));  // the order of north, the first site by name
  EXPECT_THAT(FactsOf(manifest).batches, ElementsAre("north/n1", "north/n2", "south/s1"));
  EXPECT_THAT(desk_->GetStudy("west", "demo"), StatusIs(Code::kPermissionDenied, HasSubstr("'west'")));
}

TEST_F(DeskTest, Start_ResolvesReferenceBatch) {
  v1::StudyConfig config = Config();
  config.mutable_method()->mutable_combat()->set_reference_batch("south");
  ASSERT_OK(desk_->CreateStudy(config, false));
  ASSERT_OK(desk_->Register("north", Registration({"n1"})));
  ASSERT_OK(desk_->Register("south", Registration({"s1"})));
  ASSERT_OK(desk_->StartStudy("demo"));
  ASSERT_OK_AND_ASSIGN(const v1::GetStudyReply reply, desk_->GetStudy("south", "demo"));
  ASSERT_OK_AND_ASSIGN(const v1::Manifest manifest, ParseManifest(reply.manifest()));
  EXPECT_EQ(manifest.config().method().combat().reference_batch(), "south/s1");
  EXPECT_EQ(Status().config.method().combat().reference_batch(), "south");
}

TEST_F(DeskTest, Start_UnknownReferenceBatch) {
  v1::StudyConfig config = Config();
  config.mutable_method()->mutable_combat()->set_reference_batch("west");
  ASSERT_OK(desk_->CreateStudy(config, false));
  ASSERT_OK(desk_->Register("north", Registration({"n1", "n2"})));
  EXPECT_THAT(desk_->StartStudy("demo"), StatusIs(Code::kNotFound, AllOf(HasSubstr("reference_batch"), HasSubstr("'west'"))));
}

TEST_F(DeskTest, Start_Twice) {
  StartDemo();
  ASSERT_OK_AND_ASSIGN(const std::string again, desk_->StartStudy("demo"));
  EXPECT_EQ(again, manifest_sha256_);
  EXPECT_EQ(Status().round(), 1u);
}

// ---- A site's turn ----

TEST_F(DeskTest, Next_NotStarted) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("north", Registration({"n1"})));
  EXPECT_THAT(desk_->Next("north", NextOf()), StatusIs(Code::kFailedPrecondition, HasSubstr("not started")));
}

TEST_F(DeskTest, Next_AnotherManifest) {
  StartDemo();
  v1::NextRequest request = NextOf();
  request.set_manifest_sha256(std::string(64, '0'));
  EXPECT_THAT(desk_->Next("north", request),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr(manifest_sha256_), HasSubstr(std::string(64, '0')))));
}

TEST_F(DeskTest, EveryCall_AnotherManifest) {
  StartDemo();
  Upload upload = AnswerOf("north");
  const std::string question = Status().rounds[0].question_sha256;
  v1::Chunk chunk;
  chunk.set_data(upload.bytes);
  const std::string right = manifest_sha256_;
  manifest_sha256_ = std::string(64, '0');
  upload.header.set_manifest_sha256(manifest_sha256_);
  const auto refused = StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr(right), HasSubstr(manifest_sha256_)));
  EXPECT_THAT(desk_->GetUpload("north", upload.header), refused);
  EXPECT_THAT(desk_->Append("north", upload.header, chunk), refused);
  EXPECT_THAT(desk_->FinishUpload("north", upload.header), refused);
  EXPECT_THAT(desk_->BundlePath("north", FetchOf(question)), refused);
  EXPECT_THAT(desk_->Report("north", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)), refused);
  EXPECT_THAT(Status().reports, IsEmpty());
}

TEST_F(DeskTest, Next_SaysOfWhichManifest) {
  StartDemo();
  EXPECT_EQ(desk_->Next("north", NextOf())->manifest_sha256(), manifest_sha256_);
}

TEST_F(DeskTest, Next_NotOnRoster) {
  StartDemo();
  EXPECT_THAT(desk_->Next("west", NextOf()), StatusIs(Code::kPermissionDenied, HasSubstr("'west'")));
}

TEST_F(DeskTest, WholeStudy) {
  StartDemo();
  ASSERT_OK_AND_ASSIGN(v1::NextReply next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_ANSWER);
  EXPECT_EQ(next.round(), 1u);
  ASSERT_EQ(next.bundles_size(), 1);
  ASSERT_OK_AND_ASSIGN(const BundleFile question, desk_->BundlePath("north", FetchOf(next.bundles(0).sha256())));
  EXPECT_EQ(question.size, next.bundles(0).size());

  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK_AND_ASSIGN(next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_WAIT);
  EXPECT_THAT(next.message(), HasSubstr("1 of 2 sites"));
  EXPECT_THAT(Status().WaitingFor(), ElementsAre("south"));

  ASSERT_OK(Submit("south", AnswerOf("south")));
  ASSERT_OK_AND_ASSIGN(next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_ANSWER);
  EXPECT_EQ(next.round(), 2u);
  ASSERT_OK(Submit("south", AnswerOf("south")));
  ASSERT_OK(Submit("north", AnswerOf("north")));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_CORRECTED);

  ASSERT_OK_AND_ASSIGN(next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_CORRECT);
  ASSERT_EQ(next.bundles_size(), 2);
  ASSERT_OK_AND_ASSIGN(const BundleFile own, desk_->BundlePath("north", FetchOf(next.bundles(1).sha256())));
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(own.path, v1::BUNDLE_KIND_CORRECTION_SITE, {manifest_sha256_, 2, ""}));
  EXPECT_EQ(bundle.parts.size(), 2u);
  EXPECT_EQ(bundle.parts.count("north/n1"), 1u);

  ASSERT_OK(desk_->Report("north", ReportOf(v1::SITE_STATE_HARMONIZED)));
  ASSERT_OK_AND_ASSIGN(next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_DONE);
  EXPECT_THAT(Status().WaitingFor(), ElementsAre("south"));
  ASSERT_OK(desk_->Report("south", ReportOf(v1::SITE_STATE_HARMONIZED)));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_COMPLETE);
}

TEST_F(DeskTest, BundlePath_OnlyOwn) {
  StartDemo();
  AnswerBothRounds({"north", "south"});
  const CorrectionRecord correction = *Status().correction;
  EXPECT_OK(desk_->BundlePath("south", FetchOf(correction.common_sha256)));
  EXPECT_OK(desk_->BundlePath("south", FetchOf(correction.by_site.at("south"))));
  EXPECT_THAT(desk_->BundlePath("south", FetchOf(correction.by_site.at("north"))),
              StatusIs(Code::kPermissionDenied, HasSubstr("no bundle")));
  EXPECT_THAT(desk_->BundlePath("south", FetchOf(correction.evidence_sha256)),
              StatusIs(Code::kPermissionDenied, HasSubstr("no bundle")));
  EXPECT_THAT(desk_->BundlePath("south", FetchOf("../../pki/authority.key")),
              StatusIs(Code::kPermissionDenied, HasSubstr("no bundle")));
}

TEST_F(DeskTest, OrderOfArrival_SameBytes) {
  StartDemo();
  AnswerBothRounds({"north", "south"});
  const StudyStatus first = Status();
  Another other;
  other.SetUp();
  other.StartDemo();
  other.AnswerBothRounds({"south", "north"});
  const StudyStatus second = other.Status();
  EXPECT_EQ(first.manifest_sha256, second.manifest_sha256);
  EXPECT_EQ(first.rounds[1].question_sha256, second.rounds[1].question_sha256);
  EXPECT_EQ(first.correction->common_sha256, second.correction->common_sha256);
  EXPECT_EQ(first.correction->by_site, second.correction->by_site);
  EXPECT_EQ(first.correction->evidence_sha256, second.correction->evidence_sha256);
}

TEST_F(DeskTest, OrderOfRegistrationAndArrival_ManySites_SameBytes) {
  // Values whose sum depends on the order of adding.
  const auto run = [](DeskTest& test, std::vector<std::string> order) {
    ASSERT_OK(test.desk_->CreateStudy(test.Config(), false));
    for (const std::string& site : order) ASSERT_OK(test.desk_->Register(site, Registration({"x"})));
    ASSERT_OK_AND_ASSIGN(test.manifest_sha256_, test.desk_->StartStudy("demo"));
    for (int round = 0; round < 2; ++round) {
      std::reverse(order.begin() + 1, order.end());
      for (const std::string& site : order) {
        ASSERT_OK(test.Submit(site, test.AnswerOf(site, 0.1 * static_cast<double>(site.back() - '0') / 3)));
      }
    }
  };
  run(*this, {"site1", "site2", "site3", "site4", "site5"});
  Another other;
  other.SetUp();
  run(other, {"site4", "site2", "site5", "site1", "site3"});
  const StudyStatus first = Status();
  const StudyStatus second = other.Status();
  ASSERT_TRUE(first.correction.has_value() && second.correction.has_value());
  EXPECT_EQ(first.manifest_sha256, second.manifest_sha256);
  EXPECT_EQ(first.rounds[1].question_sha256, second.rounds[1].question_sha256);
  EXPECT_EQ(first.correction->common_sha256, second.correction->common_sha256);
  EXPECT_EQ(first.correction->by_site, second.correction->by_site);
}

TEST_F(DeskTest, Pooled_SumsOnly) {
  StartDemo("release: pooled\n", true);
  AnswerBothRounds({"south", "north"});
  const StudyStatus status = Status();
  ASSERT_TRUE(status.correction.has_value());
  EXPECT_THAT(status.correction->by_site, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const v1::NextReply next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.bundles_size(), 1);
}

TEST_F(DeskTest, Pooled_SameMeanAsPerBatch) {
  StartDemo();
  AnswerBothRounds({"north", "south"});
  Another pooled;
  pooled.SetUp();
  pooled.StartDemo("release: pooled\n", true);
  pooled.AnswerBothRounds({"north", "south"});
  const auto mean = [](DeskTest& test) {
    const std::string path = test.blobs_->PathOf(test.Status().correction->common_sha256);
    const absl::StatusOr<Bundle> bundle = OpenBundle(path, v1::BUNDLE_KIND_CORRECTION_COMMON, {"", 0, ""});
    EXPECT_OK(bundle);
    return Eigen::MatrixXd(bundle->parts.at(kCommonPart)["mean"]);
  };
  EXPECT_EQ(mean(*this), mean(pooled));
}

// ---- Ends ----

TEST_F(DeskTest, MethodFails_StudyFails) {
  const FakeMethod demanding(100);
  method_ = &demanding;
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK(Submit("south", AnswerOf("south")));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_FAILED);
  ASSERT_OK_AND_ASSIGN(const v1::NextReply next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_STOPPED);
  EXPECT_THAT(next.message(), HasSubstr("fewer than 100 subjects"));
  EXPECT_THAT(desk_->CloseStudy("demo"), StatusIs(Code::kFailedPrecondition, HasSubstr("failed")));
}

TEST_F(DeskTest, AnswersThatOverflow_StudyFails) {
  StartDemo();
  ASSERT_OK_AND_ASSIGN(const Bundle question,
                       OpenBundle(blobs_->PathOf(Status().rounds[0].question_sha256), v1::BUNDLE_KIND_QUESTION, {"", 0, ""}));
  Summary huge = Summary::Zero(QuestionOf(question)->form);
  for (const BlockSpec& spec : Form(huge.form())) huge.Mutable(spec.name).setConstant(1.7e308);
  const BundleBinding binding{manifest_sha256_, 1, Status().rounds[0].question_sha256};
  ASSERT_OK(Submit("south", AnswerOf("south")));
  ASSERT_OK(Submit("north", UploadOf(binding, {{"north/n1", huge}, {"north/n2", huge}})));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_FAILED);
  EXPECT_THAT(Status().failure, HasSubstr("not finite"));
}

TEST_F(DeskTest, Close_StopsSites) {
  StartDemo();
  const Upload upload = AnswerOf("north");
  ASSERT_OK(desk_->CloseStudy("demo"));
  EXPECT_OK(desk_->CloseStudy("demo"));
  ASSERT_OK_AND_ASSIGN(const v1::NextReply next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_STOPPED);
  EXPECT_THAT(Submit("north", upload), StatusIs(Code::kFailedPrecondition, HasSubstr("closed")));
  EXPECT_THAT(desk_->StartStudy("demo"), StatusIs(Code::kFailedPrecondition, HasSubstr("closed")));
}

TEST_F(DeskTest, Close_BeforeStart) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(desk_->Register("north", Registration({"n1"})));
  ASSERT_OK(desk_->CloseStudy("demo"));
  EXPECT_THAT(desk_->Next("north", NextOf()), StatusIs(Code::kFailedPrecondition, HasSubstr("closed before it started")));
  // Nothing that a site says may make the journal unreadable.
  EXPECT_THAT(desk_->Report("north", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)),
              StatusIs(Code::kFailedPrecondition, HasSubstr("closed before it started")));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_CLOSED);
  EXPECT_OK(desk_->ListStudies());
}

TEST_F(DeskTest, Report_BeforeCorrection) {
  StartDemo();
  EXPECT_THAT(desk_->Report("north", ReportOf(v1::SITE_STATE_HARMONIZED)),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no correction")));
  EXPECT_THAT(desk_->Report("north", ReportOf(v1::SITE_STATE_UNSPECIFIED)),
              StatusIs(Code::kInvalidArgument, HasSubstr("state")));
  EXPECT_THAT(desk_->Report("west", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)),
              StatusIs(Code::kPermissionDenied, HasSubstr("'west'")));
}

TEST_F(DeskTest, Report_StoppedSiteMayGoOn) {
  StartDemo();
  ASSERT_OK(desk_->Report("north", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)));
  EXPECT_EQ(Status().reports.at("north"), v1::SITE_STATE_STOPPED_BY_ERROR);
  AnswerBothRounds({"north", "south"});
  ASSERT_OK(desk_->Report("north", ReportOf(v1::SITE_STATE_HARMONIZED)));
  ASSERT_OK(desk_->Report("north", ReportOf(v1::SITE_STATE_STOPPED_BY_ERROR)));  // too late to count
  EXPECT_EQ(Status().reports.at("north"), v1::SITE_STATE_HARMONIZED);
}

// ---- Restarts and damage ----

TEST_F(DeskTest, Restart_ComputesADueOutcome) {
  StartDemo();
  const Method* const real = method_;
  ASSERT_OK(Submit("north", AnswerOf("north")));
  const Upload last = AnswerOf("south");
  method_ = nullptr;  // the outcome cannot be computed: as if killed right after the answer was recorded
  ASSERT_OK(Submit("south", last));
  EXPECT_EQ(Status().round(), 1u);
  EXPECT_FALSE(desk_->Next("north", NextOf()).ok());
  method_ = real;
  Reopen();
  ASSERT_OK_AND_ASSIGN(const v1::NextReply next, desk_->Next("north", NextOf()));
  EXPECT_EQ(next.round(), 2u);
}

TEST_F(DeskTest, Restart_GoesOnWithTheSameBytes) {
  StartDemo();
  for (int round = 0; round < 2; ++round) {
    for (const char* site : {"north", "south"}) {
      const Upload upload = AnswerOf(site);
      ASSERT_OK(Keep(site, upload));
      Reopen();
      ASSERT_OK(desk_->FinishUpload(site, upload.header));
      Reopen();
    }
  }
  Another other;
  other.SetUp();
  other.StartDemo();
  other.AnswerBothRounds({"north", "south"});
  EXPECT_EQ(Status().correction->common_sha256, other.Status().correction->common_sha256);
}

TEST_F(DeskTest, DamagedAnswer_IsALocalError) {
  StartDemo();
  const Method* const real = method_;
  ASSERT_OK(Submit("north", AnswerOf("north")));
  const Upload last = AnswerOf("south");
  method_ = nullptr;
  ASSERT_OK(Submit("south", last));
  method_ = real;
  std::ofstream(blobs_->PathOf(Status().rounds[0].answers.at("north")), std::ios::app) << "x";
  const absl::Status damaged = desk_->Next("north", NextOf()).status();
  EXPECT_THAT(damaged, StatusIs(Code::kDataLoss, HasSubstr("damaged")));
  EXPECT_THAT(ForPeer(damaged), StatusIs(Code::kInternal, Not(HasSubstr(folder_.path()))));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_RUNNING);
}

TEST_F(DeskTest, ManySitesAtOnce) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  std::vector<std::string> sites;
  for (int i = 0; i < 6; ++i) sites.push_back(absl::StrCat("site", i));
  const auto each = [&](const auto& body) {
    std::vector<std::thread> threads;
    for (const std::string& site : sites) threads.emplace_back([&body, &site] { body(site); });
    for (std::thread& thread : threads) thread.join();
  };
  each([&](const std::string& site) { EXPECT_OK(desk_->Register(site, Registration({"x"}))); });
  ASSERT_OK_AND_ASSIGN(manifest_sha256_, desk_->StartStudy("demo"));
  for (int round = 1; round <= 2; ++round) {
    std::map<std::string, Upload> uploads;
    for (const std::string& site : sites) uploads[site] = AnswerOf(site);
    each([&](const std::string& site) {
      EXPECT_OK(Submit(site, uploads.at(site)));
      EXPECT_OK(desk_->Next(site, NextOf()));
    });
  }
  EXPECT_EQ(Status().state, v1::STUDY_STATE_CORRECTED);
}

}  // namespace
}  // namespace attune::testing

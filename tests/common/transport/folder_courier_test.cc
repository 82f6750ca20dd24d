// SPDX-License-Identifier: Apache-2.0
#include "common/transport/folder_courier.h"

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/folder_pki.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::AllOf;
using testing::EndFor;
using testing::FlipByte;
using testing::FolderPki;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;
using testing::TempFolder;
namespace fs = std::filesystem;

const std::string kManifest = Sha256Hex("manifest");

class FolderCourierTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(courier_, MakeFolderCourier(Options())); }

  FolderCourierOptions Options() {
    return {.folder = folder_.path(),
            .state_path = home_ / "folder.pb",
            .site = "north",
            .key_pem = north_.key_pem,
            .certificate_pem = north_.certificate_pem,
            .ca_pem = pki_.authority.certificate_pem,
            .tell = [this](const std::string& what) { told_ += what; }};
  }

  // The coordinator's end.
  SignedFolder Coordinator(const std::string& site = "north") const {
    return EndFor(folder_.path(), site, "inbox", pki_.server, home_ / "coordinator.pb");
  }

  // What the coordinator writes into "inbox/<name>".
  void Put(const std::string& name, const google::protobuf::Message& message) {
    ASSERT_OK(Coordinator().Put(name.substr(name.find('/') + 1), message.SerializeAsString()));
  }

  static v1::GetStudyReply StudyReply(v1::StudyState state) {
    v1::GetStudyReply reply;
    reply.set_state(state);
    return reply;
  }

  void PutNext(v1::NextReply::Task task, std::uint32_t round, std::uint32_t attempt = 0,
               v1::AggregationStep step = v1::AGGREGATION_STEP_UNSPECIFIED) {
    v1::NextReply reply;
    reply.set_task(task);
    reply.set_round(round);
    reply.set_attempt(attempt);
    reply.set_step(step);
    reply.set_manifest_sha256(kManifest);
    Put("inbox/s.next.pb", reply);
  }

  // Refuses the file `name` of the outbox.
  void PutError(const std::string& name, absl::StatusCode code) {
    v1::FolderError error;
    error.set_code(static_cast<int>(code));
    error.set_message("not that");
    error.set_answers_to(*Sha256OfFile(folder_.Child(name)));
    Put("inbox/s.error.pb", error);
  }

  static v1::NextRequest NextOf(const std::string& manifest = kManifest) {
    v1::NextRequest request;
    request.set_study("s");
    request.set_manifest_sha256(manifest);
    return request;
  }

  absl::Status SubmitBytes(const std::string& bytes, std::uint32_t round = 1, std::uint32_t attempt = 0,
                           v1::AggregationStep step = v1::AGGREGATION_STEP_UNSPECIFIED) {
    const std::string path = folder_.Child("answer.bundle");
    EXPECT_OK(WriteFileAtomically(path, bytes, FileAccess::kOwnerOnly));
    v1::UploadHeader header;
    header.set_study("s");
    header.set_manifest_sha256(kManifest);
    header.set_round(round);
    header.set_attempt(attempt);
    header.set_step(step);
    header.mutable_bundle()->set_sha256(Sha256Hex(bytes));
    header.mutable_bundle()->set_size(bytes.size());
    return courier_->Submit(header, path);
  }

  const FolderPki pki_;
  const KeyAndCertificate north_ = pki_.SiteOf("north");
  TempFolder folder_;
  TempFolder home_;
  std::string told_;
  std::unique_ptr<Courier> courier_;
};

TEST_F(FolderCourierTest, GetStudy_NothingThereYet) {
  EXPECT_THAT(courier_->GetStudy("s"),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("nothing from the coordinator yet"), HasSubstr("bring the folder"))));
}

TEST_F(FolderCourierTest, GetStudy_Arrived) {
  v1::GetStudyReply reply;
  reply.set_state(v1::STUDY_STATE_RUNNING);
  Put("inbox/s.study.pb", reply);
  ASSERT_OK_AND_ASSIGN(const v1::GetStudyReply got, courier_->GetStudy("s"));
  EXPECT_EQ(got.state(), v1::STUDY_STATE_RUNNING);
}

TEST_F(FolderCourierTest, GetStudy_WaitsAsLongAsItsPatience) {
  ASSERT_OK_AND_ASSIGN(courier_, [&] {
    FolderCourierOptions options = Options();
    options.patience = absl::Seconds(30);
    return MakeFolderCourier(options);
  }());
  std::thread coordinator([&] {
    absl::SleepFor(absl::Milliseconds(150));
    Put("inbox/s.study.pb", v1::GetStudyReply());
  });
  EXPECT_OK(courier_->GetStudy("s"));
  coordinator.join();
}

TEST_F(FolderCourierTest, GetStudy_Damaged) {
  ASSERT_OK(WriteFileAtomically(folder_.Child("inbox/s.study.pb"), "\xff\xff\xff", FileAccess::kOwnerOnly));
  EXPECT_THAT(courier_->GetStudy("s"),
              StatusIs(absl::StatusCode::kUnauthenticated, AllOf(HasSubstr("'inbox/s.study.pb'"), HasSubstr("damaged"))));
}

TEST_F(FolderCourierTest, Study_NameThatIsNoName) {
  EXPECT_THAT(courier_->GetStudy("../../etc"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be a study's name")));
}

TEST_F(FolderCourierTest, Register_RefusedIsToldOnceItIsAnswered) {
  v1::RegisterRequest request;
  request.set_study("s");
  request.add_features("f");
  ASSERT_OK(courier_->Register(request));
  PutError("outbox/s.register.pb", absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(courier_->Register(request), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not that")));
  EXPECT_THAT(courier_->GetStudy("s"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not that")));
  // The refusal was of another registration.
  request.add_features("g");
  EXPECT_OK(courier_->Register(request));
}

TEST_F(FolderCourierTest, Submit_BundleFirstAndTwiceIsOnce) {
  ASSERT_OK(SubmitBytes("answer"));
  ASSERT_OK(SubmitBytes("answer"));
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       ReadFile(folder_.Child(absl::StrCat("outbox/", Sha256Hex("answer"), ".bundle"))));
  EXPECT_EQ(bytes, "answer");
  v1::UploadHeader header;
  ASSERT_OK_AND_ASSIGN(const std::string sent, Coordinator().Take("s.answer-1.pb"));
  ASSERT_TRUE(header.ParseFromString(sent));
  EXPECT_EQ(header.bundle().sha256(), Sha256Hex("answer"));
}

TEST_F(FolderCourierTest, Next_OfAnotherManifestDoesNotCount) {
  // A reply that an earlier study of this name left in the folder.
  PutNext(v1::NextReply::TASK_DONE, 1);
  EXPECT_THAT(courier_->Next(NextOf(Sha256Hex("another"))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another manifest")));
}

TEST_F(FolderCourierTest, Next_AnsweredRoundIsWaiting) {
  PutNext(v1::NextReply::TASK_ANSWER, 1);
  ASSERT_OK_AND_ASSIGN(v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_ANSWER);
  ASSERT_OK(SubmitBytes("answer"));
  ASSERT_OK_AND_ASSIGN(reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_WAIT);
  EXPECT_EQ(reply.manifest_sha256(), kManifest) << "else the agent would not take it";
  // Of another round it is not answered.
  PutNext(v1::NextReply::TASK_ANSWER, 2);
  ASSERT_OK_AND_ASSIGN(reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_ANSWER);
}

TEST_F(FolderCourierTest, Next_DamagedAnswerIsSentAgain) {
  PutNext(v1::NextReply::TASK_ANSWER, 1);
  ASSERT_OK(SubmitBytes("answer"));
  const std::string bundle = folder_.Child(absl::StrCat("outbox/", Sha256Hex("answer"), ".bundle"));
  ASSERT_OK(WriteFileAtomically(bundle, "answe", FileAccess::kOwnerOnly));
  ASSERT_OK_AND_ASSIGN(const v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_ANSWER);
  ASSERT_OK(SubmitBytes("answer"));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(bundle));
  EXPECT_EQ(bytes, "answer");
}

TEST_F(FolderCourierTest, Next_RefusedAnswer) {
  PutNext(v1::NextReply::TASK_ANSWER, 1);
  ASSERT_OK(SubmitBytes("answer"));
  PutError("outbox/s.answer-1.pb", absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(courier_->Next(NextOf()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not that")));
}

TEST_F(FolderCourierTest, Next_ReportedCorrectionIsWaiting) {
  PutNext(v1::NextReply::TASK_CORRECT, 1);
  v1::ReportRequest report;
  report.set_study("s");
  report.set_manifest_sha256(kManifest);
  report.set_state(v1::SITE_STATE_STOPPED_BY_ERROR);
  ASSERT_OK(courier_->Report(report));
  ASSERT_OK_AND_ASSIGN(v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_CORRECT);
  report.set_state(v1::SITE_STATE_HARMONIZED);
  ASSERT_OK(courier_->Report(report));
  ASSERT_OK_AND_ASSIGN(reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_WAIT);
  EXPECT_EQ(reply.manifest_sha256(), kManifest) << "else the agent would not take it";
}

TEST_F(FolderCourierTest, Fetch_VerifiesTheDigest) {
  v1::FetchRequest request;
  request.set_study("s");
  request.set_sha256(Sha256Hex("question"));
  const std::string bundle = folder_.Child(absl::StrCat("inbox/", request.sha256(), ".bundle"));
  const std::string to = folder_.Child("question.bundle");
  EXPECT_THAT(courier_->Fetch(request, 8, to), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("is missing")));
  ASSERT_OK(WriteFileAtomically(bundle, "quest", FileAccess::kOwnerOnly));
  EXPECT_THAT(courier_->Fetch(request, 8, to), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("digest")));
  EXPECT_FALSE(FileExists(to));
  ASSERT_OK(WriteFileAtomically(bundle, "question", FileAccess::kOwnerOnly));
  ASSERT_OK(courier_->Fetch(request, 8, to));
  EXPECT_TRUE(FileExists(to));
}

TEST_F(FolderCourierTest, Fetch_NameThatIsNoDigest) {
  v1::FetchRequest request;
  request.set_sha256("../../../etc/passwd");
  EXPECT_THAT(courier_->Fetch(request, 8, folder_.Child("x")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no digest")));
}

TEST_F(FolderCourierTest, Next_StepOfAggregationThatWasSentIsWaiting) {
  PutNext(v1::NextReply::TASK_AGGREGATE, 1, 1, v1::AGGREGATION_STEP_KEYS);
  ASSERT_OK(SubmitBytes("keys", 1, 1, v1::AGGREGATION_STEP_KEYS));
  ASSERT_OK_AND_ASSIGN(v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_WAIT);
  EXPECT_THAT(reply.message(), HasSubstr("attempt 1, step 1"));
  for (const auto& [attempt, step] : {std::pair(1u, v1::AGGREGATION_STEP_SHARES), std::pair(2u, v1::AGGREGATION_STEP_KEYS)}) {
    PutNext(v1::NextReply::TASK_AGGREGATE, 1, attempt, step);
    ASSERT_OK_AND_ASSIGN(reply, courier_->Next(NextOf()));
    EXPECT_EQ(reply.task(), v1::NextReply::TASK_AGGREGATE) << attempt << " " << step;
  }
}

TEST_F(FolderCourierTest, Next_LostSessionIsWaitingAndItsRefusalDoesNotBlock) {
  PutNext(v1::NextReply::TASK_AGGREGATE, 1, 1, v1::AGGREGATION_STEP_MASKED);
  v1::ReportRequest report;
  report.set_study("s");
  report.set_manifest_sha256(kManifest);
  report.set_state(v1::SITE_STATE_SESSION_LOST);
  report.set_round(1);
  report.set_attempt(1);
  ASSERT_OK(courier_->Report(report));
  ASSERT_OK_AND_ASSIGN(v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_WAIT);
  PutError("outbox/s.report.pb", absl::StatusCode::kFailedPrecondition);
  PutNext(v1::NextReply::TASK_AGGREGATE, 1, 2, v1::AGGREGATION_STEP_KEYS);
  ASSERT_OK_AND_ASSIGN(reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_AGGREGATE);
}

TEST_F(FolderCourierTest, Submit_RemovesWhatEarlierStepsSent) {
  ASSERT_OK(SubmitBytes("keys", 1, 1, v1::AGGREGATION_STEP_KEYS));
  ASSERT_OK(SubmitBytes("shares", 1, 1, v1::AGGREGATION_STEP_SHARES));
  ASSERT_OK(SubmitBytes("keys again", 1, 2, v1::AGGREGATION_STEP_KEYS));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_ / "outbox")) left.push_back(entry.path().filename().string());
  EXPECT_THAT(left, ::testing::UnorderedElementsAre("s.round-1-2-1.pb", absl::StrCat(Sha256Hex("keys again"), ".bundle")));
}

// ---- What somebody may do to the folder on its way to the site: noticed, by the file's name. ----

class TamperedInboxTest : public FolderCourierTest {
 protected:
  void SetUp() override {
    FolderCourierTest::SetUp();
    Put("inbox/s.study.pb", StudyReply(v1::STUDY_STATE_RECRUITING));
    PutNext(v1::NextReply::TASK_ANSWER, 1);
  }

  void ExpectRefused(const std::string& why) {
    EXPECT_THAT(courier_->GetStudy("s"),
                StatusIs(absl::StatusCode::kUnauthenticated, AllOf(HasSubstr("'inbox/s.study.pb'"), HasSubstr(why))));
  }

  const std::string study_ = folder_ / "inbox/s.study.pb";
};

TEST_F(TamperedInboxTest, AnyByteFlipped) {
  const std::string whole = folder_.Read("inbox/s.study.pb");
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    FlipByte(study_, at);
    const absl::StatusOr<v1::GetStudyReply> reply = courier_->GetStudy("s");
    // A bit of the certificate's PEM, such as the blank in its first line, may mean nothing; what is said stays the same.
    if (reply.ok()) {
      EXPECT_EQ(reply->state(), v1::STUDY_STATE_RECRUITING) << at;
    } else {
      EXPECT_THAT(reply.status(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("'inbox/s.study.pb'"))) << at;
    }
    FlipByte(study_, at);
  }
  ASSERT_OK(courier_->GetStudy("s"));
  FlipByte(study_, 4);
  ExpectRefused("damaged or changed");
}

TEST_F(TamperedInboxTest, Truncated) {
  const std::string whole = folder_.Read("inbox/s.study.pb");
  for (const std::size_t size : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
    folder_.Write("inbox/s.study.pb", whole.substr(0, size));
    ExpectRefused("copy the folder again");
  }
}

TEST_F(TamperedInboxTest, TwoFilesSwapped) {
  fs::rename(folder_ / "inbox/s.next.pb", study_);
  ExpectRefused("was signed as 'inbox/s.next.pb'");
}

TEST_F(TamperedInboxTest, FileOfAnotherSite) {
  ASSERT_OK(EndFor(folder_.path(), "south", "inbox", pki_.server, home_ / "other.pb").Put("s.study.pb", "x"));
  ExpectRefused("of the site 'south'");
}

TEST_F(TamperedInboxTest, OldFilePutBack) {
  const std::string old = folder_.Read("inbox/s.next.pb");
  PutNext(v1::NextReply::TASK_ANSWER, 2);
  ASSERT_OK_AND_ASSIGN(const v1::NextReply reply, courier_->Next(NextOf()));
  EXPECT_EQ(reply.round(), 2u);
  folder_.Write("inbox/s.next.pb", old);
  EXPECT_THAT(courier_->Next(NextOf()), StatusIs(absl::StatusCode::kUnauthenticated,
                                                 AllOf(HasSubstr("'inbox/s.next.pb'"), HasSubstr("old file put back"))));
  // A site that starts again has not forgotten.
  ASSERT_OK_AND_ASSIGN(courier_, MakeFolderCourier(Options()));
  EXPECT_THAT(courier_->Next(NextOf()), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("old file put back")));
}

TEST_F(TamperedInboxTest, Link) {
  fs::rename(study_, folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", study_);
  ExpectRefused("is a link");
}

TEST_F(TamperedInboxTest, SignedByASite) {
  ASSERT_OK(EndFor(folder_.path(), "north", "inbox", pki_.SiteOf("south"), home_ / "other.pb").Put("s.study.pb", "x"));
  ExpectRefused("not that of a coordinator");
}

TEST_F(TamperedInboxTest, SignedByAnotherAuthority) {
  ASSERT_OK(EndFor(folder_.path(), "north", "inbox", FolderPki().server, home_ / "other.pb").Put("s.study.pb", "x"));
  ExpectRefused("is not signed by the one that may write it");
}

TEST_F(TamperedInboxTest, OtherCertificateBesideTheSignature) {
  v1::SignedFile file;
  ASSERT_TRUE(file.ParseFromString(folder_.Read("inbox/s.study.pb")));
  file.set_certificate_pem(MakeServerCertificate(pki_.authority, "net", {"127.0.0.1"}, 10)->certificate_pem);
  folder_.Write("inbox/s.study.pb", file.SerializeAsString());
  ExpectRefused("damaged or changed after it was signed");
}

TEST_F(TamperedInboxTest, OwnRequestChangedIsToldAndWrittenAgain) {
  v1::RegisterRequest request;
  request.set_study("s");
  ASSERT_OK(courier_->Register(request));
  FlipByte(folder_ / "outbox/s.register.pb", 4);
  // What the coordinator said of the changed file is not about this site's request.
  PutError("outbox/s.register.pb", absl::StatusCode::kUnauthenticated);
  EXPECT_OK(courier_->GetStudy("s"));
  EXPECT_THAT(told_, AllOf(HasSubstr("outbox/s.register.pb"), HasSubstr("damaged or changed")));
  ASSERT_OK(courier_->Register(request));
  ASSERT_OK(Coordinator().Take("s.register.pb"));
}

TEST_F(FolderCourierTest, Put_RenewedCertificateSignsAgain) {
  v1::RegisterRequest request;
  request.set_study("s");
  ASSERT_OK(courier_->Register(request));
  const std::string before = folder_.Read("outbox/s.register.pb");
  ASSERT_OK(courier_->Register(request));
  EXPECT_EQ(folder_.Read("outbox/s.register.pb"), before);
  FolderCourierOptions renewed = Options();
  const KeyAndCertificate other = pki_.SiteOf("north");
  renewed.key_pem = other.key_pem;
  renewed.certificate_pem = other.certificate_pem;
  ASSERT_OK_AND_ASSIGN(courier_, MakeFolderCourier(renewed));
  ASSERT_OK(courier_->Register(request));
  EXPECT_NE(folder_.Read("outbox/s.register.pb"), before);
  EXPECT_EQ(told_, "");
}

// ---- Enrolment. ----

class FolderEnrollmentTest : public FolderCourierTest {
 protected:
  absl::StatusOr<v1::EnrollReply> Enroll() {
    return EnrollByFolder({.folder = folder_.path(),
                           .state_path = home_ / "folder.pb",
                           .site = "north",
                           .token = "the token",
                           .certificate_request_pem = "request",
                           .ca_pem = pki_.authority.certificate_pem});
  }
};

TEST_F(FolderEnrollmentTest, RequestThenCertificate) {
  EXPECT_THAT(Enroll(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("bring the folder to the coordinator")));
  EXPECT_THAT(folder_.Read("outbox/enroll.pb"), Not(HasSubstr("the token")));
  v1::FolderEnrollReply reply;
  reply.set_answers_to(Sha256Hex("another request"));
  reply.mutable_reply()->set_certificate_pem("old");
  Put("inbox/enrolled.pb", reply);
  EXPECT_THAT(Enroll(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  reply.set_answers_to(*Sha256OfFile(folder_ / "outbox/enroll.pb"));
  reply.mutable_reply()->set_certificate_pem("new");
  Put("inbox/enrolled.pb", reply);
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply got, Enroll());
  EXPECT_EQ(got.certificate_pem(), "new");
  RemoveFolderEnrollment(folder_.path());
  EXPECT_FALSE(fs::exists(folder_ / "outbox/enroll.pb"));
}

TEST_F(FolderEnrollmentTest, RefusalAndForgery) {
  EXPECT_THAT(Enroll(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  v1::FolderEnrollReply reply;
  reply.set_answers_to(*Sha256OfFile(folder_ / "outbox/enroll.pb"));
  reply.mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnauthenticated));
  reply.mutable_error()->set_message("the token has expired");
  Put("inbox/enrolled.pb", reply);
  EXPECT_THAT(Enroll(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("the token has expired")));
  ASSERT_OK(EndFor(folder_.path(), "north", "inbox", FolderPki().server, home_ / "f.pb")
                .Put("enrolled.pb", reply.SerializeAsString()));
  EXPECT_THAT(Enroll(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("'inbox/enrolled.pb'")));
}

}  // namespace
}  // namespace attune

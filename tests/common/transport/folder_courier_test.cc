// SPDX-License-Identifier: Apache-2.0
#include "common/transport/folder_courier.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempFolder;

const std::string kManifest = Sha256Hex("manifest");

class FolderCourierTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(courier_, MakeFolderCourier({.folder = folder_.path()})); }

  void Put(const std::string& name, const google::protobuf::Message& message) {
    ASSERT_OK(WriteFileAtomically(folder_.Child(name), message.SerializeAsString(), FileAccess::kOwnerOnly));
  }

  void PutNext(v1::NextReply::Task task, std::uint32_t round) {
    v1::NextReply reply;
    reply.set_task(task);
    reply.set_round(round);
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

  absl::Status SubmitBytes(const std::string& bytes, std::uint32_t round = 1) {
    const std::string path = folder_.Child("answer.bundle");
    EXPECT_OK(WriteFileAtomically(path, bytes, FileAccess::kOwnerOnly));
    v1::UploadHeader header;
    header.set_study("s");
    header.set_manifest_sha256(kManifest);
    header.set_round(round);
    header.mutable_bundle()->set_sha256(Sha256Hex(bytes));
    header.mutable_bundle()->set_size(bytes.size());
    return courier_->Submit(header, path);
  }

  TempFolder folder_;
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
  ASSERT_OK_AND_ASSIGN(courier_, MakeFolderCourier({.folder = folder_.path(), .patience = absl::Seconds(30)}));
  std::thread coordinator([&] {
    absl::SleepFor(absl::Milliseconds(150));
    Put("inbox/s.study.pb", v1::GetStudyReply());
  });
  EXPECT_OK(courier_->GetStudy("s"));
  coordinator.join();
}

TEST_F(FolderCourierTest, GetStudy_Damaged) {
  ASSERT_OK(WriteFileAtomically(folder_.Child("inbox/s.study.pb"), "\xff\xff\xff", FileAccess::kOwnerOnly));
  EXPECT_THAT(courier_->GetStudy("s"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("copy it again")));
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
  ASSERT_OK_AND_ASSIGN(const std::string sent, ReadFile(folder_.Child("outbox/s.answer-1.pb")));
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

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/folder_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "tests/coordinator/fixture.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;
namespace fs = std::filesystem;

class FolderServiceTest : public DeskTest {
 public:
  void SetUp() override {
    DeskTest::SetUp();
    for (const char* site : {"north", "south"}) fs::create_directories(root_ / (std::string(site) + "/outbox"));
    service_ = std::make_unique<FolderService>(desk_.get(), root_.path());
  }

  void Put(const std::string& site, const std::string& name, const std::string& bytes) {
    root_.Write(absl::StrCat(site, "/outbox/", name), bytes);
  }

  template <typename Message>
  Message Get(const std::string& site, const std::string& name) {
    Message message;
    const std::string path = absl::StrCat(site, "/inbox/", name);
    EXPECT_TRUE(fs::exists(root_ / path)) << path;
    EXPECT_TRUE(message.ParseFromString(root_.Read(path)));
    return message;
  }

  bool InInbox(const std::string& site, const std::string& name) {
    return fs::exists(root_ / absl::StrCat(site, "/inbox/", name));
  }

  void PutAnswer(const std::string& site) {
    const Upload upload = AnswerOf(site);
    Put(site, upload.header.bundle().sha256() + ".bundle", upload.bytes);
    Put(site, absl::StrCat("demo.answer-", upload.header.round(), ".pb"), upload.header.SerializeAsString());
  }

  TempFolder root_;
  std::unique_ptr<FolderService> service_;
};

TEST_F(FolderServiceTest, WholeStudy) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::GetStudyReply>("north", "demo.study.pb").state(), v1::STUDY_STATE_RECRUITING);
  EXPECT_FALSE(InInbox("north", "demo.next.pb"));

  Put("north", "demo.register.pb", Registration({"n1", "n2"}).SerializeAsString());
  Put("south", "demo.register.pb", Registration({"s1"}).SerializeAsString());
  ASSERT_OK(service_->Sweep());
  ASSERT_OK_AND_ASSIGN(manifest_sha256_, desk_->StartStudy("demo"));
  for (std::uint32_t round = 1; round <= 2; ++round) {
    ASSERT_OK(service_->Sweep());
    const auto next = Get<v1::NextReply>("north", "demo.next.pb");
    EXPECT_EQ(next.task(), v1::NextReply::TASK_ANSWER);
    EXPECT_EQ(next.round(), round);
    ASSERT_EQ(next.bundles_size(), 1);
    EXPECT_EQ(Sha256Hex(root_.Read(absl::StrCat("north/inbox/", next.bundles(0).sha256(), ".bundle"))),
              next.bundles(0).sha256());
    PutAnswer("north");
    PutAnswer("south");
    ASSERT_OK(service_->Sweep());
  }
  ASSERT_OK(service_->Sweep());
  const auto next = Get<v1::NextReply>("south", "demo.next.pb");
  EXPECT_EQ(next.task(), v1::NextReply::TASK_CORRECT);
  EXPECT_EQ(next.bundles_size(), 2);
  for (const char* site : {"north", "south"}) {
    Put(site, "demo.report.pb", ReportOf(v1::SITE_STATE_HARMONIZED).SerializeAsString());
    EXPECT_FALSE(InInbox(site, "demo.error.pb"));
  }
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Status().state, v1::STUDY_STATE_COMPLETE);
}

TEST_F(FolderServiceTest, Sweep_ChangesNothingTheSecondTime) {
  StartDemo();
  PutAnswer("north");
  ASSERT_OK(service_->Sweep());
  ASSERT_OK(service_->Sweep());  // south was served before the answer of north only in the first sweep
  const std::string next = root_ / "north/inbox/demo.next.pb";
  const auto written = fs::last_write_time(next);
  const std::int64_t version = desk_->Version();
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(fs::last_write_time(next), written);
  EXPECT_EQ(desk_->Version(), version);
}

TEST_F(FolderServiceTest, RefusedRequest_IsToldAndForgotten) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  const std::string bad = Registration({}).SerializeAsString();
  Put("north", "demo.register.pb", bad);
  ASSERT_OK(service_->Sweep());
  const auto error = Get<v1::FolderError>("north", "demo.error.pb");
  EXPECT_EQ(error.code(), static_cast<int>(Code::kInvalidArgument));
  EXPECT_THAT(error.message(), HasSubstr("at least one"));
  EXPECT_EQ(error.answers_to(), Sha256Hex(bad));
  EXPECT_FALSE(InInbox("south", "demo.error.pb"));
  Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_FALSE(InInbox("north", "demo.error.pb"));
}

TEST_F(FolderServiceTest, RefusedRequest_DoesNotKeepTheOthersBack) {
  StartDemo();
  // Registered again with other scanners after the start: refused for ever.
  Put("north", "demo.register.pb", Registration({"other"}).SerializeAsString());
  PutAnswer("north");
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kFailedPrecondition));
  EXPECT_EQ(Status().rounds[0].answers.count("north"), 1u);
}

TEST_F(FolderServiceTest, DamagedBundleInTheInbox_IsBroughtAgain) {
  StartDemo();
  ASSERT_OK(service_->Sweep());
  ASSERT_OK(service_->Sweep());  // which sees that what lies there is right
  const std::string name = absl::StrCat("north/inbox/", Status().rounds[0].question_sha256, ".bundle");
  const std::string good = root_.Read(name);
  root_.Write(name, std::string(good.size(), 'x'));
  fs::last_write_time(root_ / name, fs::last_write_time(root_ / name) + std::chrono::seconds(5));
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(root_.Read(name), good);
}

TEST_F(FolderServiceTest, LinkWhereAFileIsWritten_IsReplacedNotFollowed) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  const std::string secret = folder_.Write("authority.key", "secret");
  fs::create_directories(root_ / "north/inbox");
  for (const char* name : {"demo.study.pb", "demo.study.pb.partial"}) {
    fs::create_symlink(secret, root_ / (std::string("north/inbox/") + name));
  }
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(folder_.Read("authority.key"), "secret");
  EXPECT_EQ(Get<v1::GetStudyReply>("north", "demo.study.pb").state(), v1::STUDY_STATE_RECRUITING);
}

TEST_F(FolderServiceTest, UnknownStudy_IsTold) {
  Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kNotFound));
}

TEST_F(FolderServiceTest, Garbage_IsTold) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  Put("north", "demo.register.pb", "\xff\xff\xff");
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kInvalidArgument));
}

TEST_F(FolderServiceTest, AnswerWithoutItsBundle) {
  StartDemo();
  const Upload upload = AnswerOf("north");
  Put("north", "demo.answer-1.pb", upload.header.SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kDataLoss));
  Put("north", upload.header.bundle().sha256() + ".bundle", upload.bytes);
  ASSERT_OK(service_->Sweep());
  EXPECT_FALSE(InInbox("north", "demo.error.pb"));
  EXPECT_EQ(Status().rounds[0].answers.count("north"), 1u);
}

TEST_F(FolderServiceTest, SymbolicLinks_AreLeftAlone) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  const std::string elsewhere = folder_.Write("register.pb", Registration({"n1"}).SerializeAsString());
  fs::create_symlink(elsewhere, root_ / "north/outbox/demo.register.pb");
  fs::create_directories(folder_ / "west/outbox");
  fs::create_directory_symlink(folder_ / "west", root_ / "west");
  fs::create_directory_symlink(folder_.path(), root_ / "south/inbox");
  EXPECT_THAT(service_->Sweep(), StatusIs(Code::kFailedPrecondition, HasSubstr("south")));  // not a folder
  EXPECT_TRUE(Status().sites.empty());
  EXPECT_FALSE(fs::exists(folder_ / "west/inbox"));
  EXPECT_FALSE(fs::exists(folder_ / "demo.study.pb"));
  EXPECT_TRUE(InInbox("north", "demo.study.pb"));
}

TEST_F(FolderServiceTest, OddNames_AreLeftAlone) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  fs::create_directories(root_ / "not a site/outbox");
  Put("north", "demo.answer-x.pb", "x");
  Put("north", "..register.pb", "x");
  Put("north", "notes.txt", "x");
  EXPECT_OK(service_->Sweep());
  EXPECT_FALSE(fs::exists(root_ / "not a site/inbox"));
  EXPECT_FALSE(InInbox("north", "demo.error.pb"));
}

TEST_F(FolderServiceTest, MissingRoot) {
  FolderService service(desk_.get(), root_ / "nowhere");
  EXPECT_THAT(service.Sweep(), StatusIs(Code::kNotFound, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/folder_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/security/signature.h"
#include "common/security/token_proof.h"
#include "tests/coordinator/fixture.h"
#include "tests/support/folder_pki.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;
namespace fs = std::filesystem;

class FolderServiceTest : public DeskTest {
 public:
  void SetUp() override {
    DeskTest::SetUp();
    invitations_ = std::make_unique<Invitations>("net", pki_.authority, journal_.get(), [this] { return now_; });
    for (const char* site : {"north", "south"}) {
      fs::create_directories(root_ / (std::string(site) + "/outbox"));
      keys_[site] = EnrolledKeyOf(site);
    }
    service_ = std::make_unique<FolderService>(desk_.get(), invitations_.get(), Options());
  }

  FolderServiceOptions Options() {
    return {.root = root_.path(),
            .state_folder = folder_ / "folders",
            .consortium = "net",
            .authority_pem = pki_.authority.certificate_pem,
            .server = pki_.server,
            .on_file = [this](absl::string_view site, absl::string_view file, const absl::Status& outcome) {
              heard_.push_back(absl::StrCat(site, " ", file, " ", absl::StatusCodeToString(outcome.code())));
            }};
  }

  // As a site that has enrolled over a network.
  KeyAndCertificate EnrolledKeyOf(const std::string& site) {
    const KeyAndRequest made = *MakeKeyAndRequest(site);
    v1::EnrollRequest request;
    request.set_site(site);
    request.set_token(invitations_->Invite(site, "", 7)->token());
    request.set_certificate_request_pem(made.request_pem);
    return {made.key_pem, invitations_->Enroll(request)->certificate_pem()};
  }

  // The site's end.
  SignedFolder End(const std::string& site) {
    return EndFor(root_ / site, site, "outbox", keys_.at(site), folder_ / (site + ".end"));
  }

  void Put(const std::string& site, const std::string& name, const std::string& bytes) {
    if (absl::EndsWith(name, ".pb")) {
      ASSERT_OK(End(site).Put(name, bytes));
    } else {
      root_.Write(absl::StrCat(site, "/outbox/", name), bytes);
    }
  }

  template <typename Message>
  Message Get(const std::string& site, const std::string& name) {
    Message message;
    const absl::StatusOr<std::string> payload = End(site).Take(name);
    EXPECT_OK(payload);
    EXPECT_TRUE(payload.ok() && message.ParseFromString(*payload));
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

  const FolderPki pki_;
  absl::Time now_ = absl::Now();
  TempFolder root_;
  std::unique_ptr<Invitations> invitations_;
  std::map<std::string, KeyAndCertificate> keys_;
  std::vector<std::string> heard_;
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
  EXPECT_EQ(error.answers_to(), Sha256Hex(root_.Read("north/outbox/demo.register.pb")));
  EXPECT_FALSE(InInbox("south", "demo.error.pb"));
  Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), 0);
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
  root_.Write("north/outbox/demo.register.pb", "\xff\xff\xff");
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kUnauthenticated));
}

TEST_F(FolderServiceTest, AnswerWithoutItsBundle) {
  StartDemo();
  const Upload upload = AnswerOf("north");
  Put("north", "demo.answer-1.pb", upload.header.SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), static_cast<int>(Code::kDataLoss));
  Put("north", upload.header.bundle().sha256() + ".bundle", upload.bytes);
  ASSERT_OK(service_->Sweep());
  EXPECT_EQ(Get<v1::FolderError>("north", "demo.error.pb").code(), 0);
  EXPECT_EQ(Status().rounds[0].answers.count("north"), 1u);
}

TEST_F(FolderServiceTest, SymbolicLinks_AreNotFollowed) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  fs::rename(root_ / "north/outbox/demo.register.pb", folder_ / "register.pb");
  fs::create_symlink(folder_ / "register.pb", root_ / "north/outbox/demo.register.pb");
  fs::create_directories(folder_ / "west/outbox");
  fs::create_directory_symlink(folder_ / "west", root_ / "west");
  fs::create_directory_symlink(folder_.path(), root_ / "south/inbox");
  EXPECT_THAT(service_->Sweep(), StatusIs(Code::kFailedPrecondition, HasSubstr("south")));  // not a folder
  EXPECT_TRUE(Status().sites.empty());
  EXPECT_FALSE(fs::exists(folder_ / "west/inbox"));
  EXPECT_FALSE(fs::exists(folder_ / "demo.study.pb"));
  EXPECT_TRUE(InInbox("north", "demo.study.pb"));
  EXPECT_THAT(Get<v1::FolderError>("north", "demo.error.pb").message(),
              AllOf(HasSubstr("'outbox/demo.register.pb'"), HasSubstr("is a link")));
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

TEST_F(FolderServiceTest, Files_AreHeardOfOnce) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  for (int i = 0; i < 3; ++i) ASSERT_OK(service_->Sweep());
  EXPECT_THAT(heard_, ::testing::ElementsAre("north outbox/demo.register.pb OK"));
}

TEST_F(FolderServiceTest, BundlesNoLongerNamed_AreRemovedInTime) {
  StartDemo();
  ASSERT_OK(service_->Sweep());
  const std::string question = absl::StrCat("north/inbox/", Status().rounds[0].question_sha256, ".bundle");
  for (const char* site : {"north", "south"}) PutAnswer(site);
  for (int i = 0; i < 2; ++i) ASSERT_OK(service_->Sweep());
  EXPECT_TRUE(fs::exists(root_ / question)) << "the site may be reading it";
  fs::last_write_time(root_ / question, fs::file_time_type::clock::now() - std::chrono::hours(2));
  ASSERT_OK(service_->Sweep());
  EXPECT_FALSE(fs::exists(root_ / question));
}

// ---- Enrolment. ----

class FolderEnrolTest : public FolderServiceTest {
 public:
  void SetUp() override {
    FolderServiceTest::SetUp();
    fs::create_directories(root_ / "west/outbox");
    request_.set_site("west");
    ASSERT_OK_AND_ASSIGN(const KeyAndRequest made, MakeKeyAndRequest("west"));
    request_.set_certificate_request_pem(made.request_pem);
    keys_["west"] = {made.key_pem, ""};
    ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("west", "", 7));
    token_ = invitation.token();
  }

  v1::FolderEnrollReply Ask(const std::string& token, const std::string& site = "west") {
    request_.set_token_proof(TokenProof(Sha256Hex(token), request_.site(), request_.certificate_request_pem()));
    root_.Write(site + "/outbox/enroll.pb", request_.SerializeAsString());
    EXPECT_OK(service_->Sweep());
    return Get<v1::FolderEnrollReply>(site, "enrolled.pb");
  }

  v1::FolderEnrollRequest request_;
  std::string token_;
};

TEST_F(FolderEnrolTest, CertificateThenStudies) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK(service_->Sweep());
  EXPECT_FALSE(InInbox("west", "demo.study.pb")) << "not enrolled yet";
  const v1::FolderEnrollReply reply = Ask(token_);
  ASSERT_TRUE(reply.has_reply()) << reply.error().message();
  EXPECT_EQ(reply.answers_to(), Sha256Hex(root_.Read("west/outbox/enroll.pb")));
  keys_["west"].certificate_pem = reply.reply().certificate_pem();
  EXPECT_EQ(*UriOf(keys_["west"].certificate_pem), "attune://net/site/west");
  // Again, also by a service that was started anew: the same.
  FolderService again(desk_.get(), invitations_.get(), Options());
  ASSERT_OK(again.Sweep());
  EXPECT_EQ(Get<v1::FolderEnrollReply>("west", "enrolled.pb").reply().certificate_pem(), keys_["west"].certificate_pem);
  EXPECT_TRUE(InInbox("west", "demo.study.pb"));
  Put("west", "demo.register.pb", Registration({"w1"}).SerializeAsString());
  ASSERT_OK(again.Sweep());
  EXPECT_EQ(Status().sites.count("west"), 1u);
}

TEST_F(FolderEnrolTest, WrongToken) {
  EXPECT_THAT(Ask("another").error().message(), HasSubstr("the token does not count"));
  EXPECT_TRUE(Ask(token_).has_reply()) << "the token was not used up";
}

TEST_F(FolderEnrolTest, ExpiredToken) {
  now_ += absl::Hours(24 * 8);
  EXPECT_THAT(Ask(token_).error().message(), HasSubstr("has expired"));
}

TEST_F(FolderEnrolTest, FinderPutsHisOwnRequestUnderTheProof) {
  request_.set_token_proof(TokenProof(Sha256Hex(token_), "west", request_.certificate_request_pem()));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest other, MakeKeyAndRequest("west"));
  request_.set_certificate_request_pem(other.request_pem);
  root_.Write("west/outbox/enroll.pb", request_.SerializeAsString());
  ASSERT_OK(service_->Sweep());
  EXPECT_THAT(Get<v1::FolderEnrollReply>("west", "enrolled.pb").error().message(), HasSubstr("the token does not count"));
}

TEST_F(FolderEnrolTest, RequestInAnotherSitesFolder) {
  EXPECT_THAT(Ask(token_, "north").error().message(), HasSubstr("'outbox/enroll.pb' is not a request of this folder's site"));
}

// ---- What somebody may do to a folder on its way to the coordinator: noticed, by the file's name, and told to the site. ----

class TamperedOutboxTest : public FolderServiceTest {
 public:
  void SetUp() override {
    FolderServiceTest::SetUp();
    ASSERT_OK(desk_->CreateStudy(Config(), false));
    Put("north", "demo.register.pb", Registration({"n1"}).SerializeAsString());
  }

  void ExpectRefused(const std::string& why) {
    ASSERT_OK(service_->Sweep());
    const auto error = Get<v1::FolderError>("north", "demo.error.pb");
    EXPECT_EQ(error.code(), static_cast<int>(Code::kUnauthenticated));
    EXPECT_THAT(error.message(), AllOf(HasSubstr("'outbox/demo.register.pb'"), HasSubstr(why), Not(HasSubstr(root_.path()))));
    EXPECT_THAT(heard_, Contains("north outbox/demo.register.pb UNAUTHENTICATED"));
  }

  const std::string register_ = root_ / "north/outbox/demo.register.pb";
};

TEST_F(TamperedOutboxTest, ByteFlipped) {
  FlipByte(register_, 4);
  ExpectRefused("damaged or changed");
  EXPECT_TRUE(Status().sites.empty());
}

TEST_F(TamperedOutboxTest, Truncated) {
  fs::resize_file(register_, fs::file_size(register_) - 1);
  ExpectRefused("copy the folder again");
}

TEST_F(TamperedOutboxTest, TooLarge) {
  fs::resize_file(register_, (std::uint64_t{1} << 20) + 1);
  ExpectRefused("too large");
}

TEST_F(TamperedOutboxTest, FileOfAnotherSite) {
  Put("south", "demo.register.pb", Registration({"s1"}).SerializeAsString());
  fs::copy_file(root_ / "south/outbox/demo.register.pb", register_, fs::copy_options::overwrite_existing);
  ExpectRefused("'attune://net/site/south'");
  EXPECT_EQ(Status().sites.count("north"), 0u);
}

TEST_F(TamperedOutboxTest, TwoFilesSwapped) {
  Put("north", "other.register.pb", Registration({"n1"}).SerializeAsString());
  fs::rename(root_ / "north/outbox/other.register.pb", register_);
  ExpectRefused("was signed as 'outbox/other.register.pb'");
}

TEST_F(TamperedOutboxTest, OldFilePutBack) {
  const std::string old = root_.Read("north/outbox/demo.register.pb");
  Put("north", "demo.register.pb", Registration({"n1", "n2"}).SerializeAsString());
  ASSERT_OK(service_->Sweep());
  root_.Write("north/outbox/demo.register.pb", old);
  ExpectRefused("old file put back");
  // A coordinator that starts again has not forgotten.
  service_ = std::make_unique<FolderService>(desk_.get(), invitations_.get(), Options());
  ExpectRefused("old file put back");
  EXPECT_EQ(Status().sites.at("north").labels.size(), 2u);
}

TEST_F(TamperedOutboxTest, SignedByTheCoordinatorOrAnotherAuthority) {
  ASSERT_OK(EndFor(root_ / "north", "north", "outbox", pki_.server, folder_ / "f1").Put("demo.register.pb", "x"));
  ExpectRefused("may write it");
  const FolderPki other;
  ASSERT_OK(EndFor(root_ / "north", "north", "outbox", other.SiteOf("north"), folder_ / "f2").Put("demo.register.pb", "x"));
  ExpectRefused("may write it");
}

TEST_F(TamperedOutboxTest, RevokedKey) {
  ASSERT_OK(invitations_->RevokeSite("north"));
  fs::remove_all(root_ / "north/inbox");
  ASSERT_OK(service_->Sweep());
  EXPECT_TRUE(Status().sites.empty());
  EXPECT_FALSE(InInbox("north", "demo.study.pb")) << "a revoked site gets nothing";
}

TEST_F(TamperedOutboxTest, RevokedKeyOfASiteThatEnrolledAgain) {
  ASSERT_OK(invitations_->RevokeSite("north"));
  EnrolledKeyOf("north");
  ExpectRefused("revoked");
  EXPECT_TRUE(Status().sites.empty());
}

TEST_F(TamperedOutboxTest, BundleChanged) {
  ASSERT_OK(desk_->Register("south", Registration({"s1"})));
  ASSERT_OK(service_->Sweep());
  ASSERT_OK_AND_ASSIGN(manifest_sha256_, desk_->StartStudy("demo"));
  PutAnswer("north");
  const std::string bundle = absl::StrCat("north/outbox/", AnswerOf("north").header.bundle().sha256(), ".bundle");
  FlipByte(root_ / bundle, 200);
  ASSERT_OK(service_->Sweep());
  const auto error = Get<v1::FolderError>("north", "demo.error.pb");
  EXPECT_EQ(error.code(), static_cast<int>(Code::kDataLoss));
  EXPECT_THAT(error.message(), HasSubstr(fs::path(bundle).filename().string()));
}

TEST_F(TamperedOutboxTest, InboxChangedIsToldAndWrittenAgain) {
  ASSERT_OK(service_->Sweep());
  FlipByte(root_ / "north/inbox/demo.study.pb", 4);
  ASSERT_OK(service_->Sweep());
  EXPECT_THAT(heard_, Contains("north inbox UNAUTHENTICATED"));
  Get<v1::GetStudyReply>("north", "demo.study.pb");
}

TEST_F(FolderServiceTest, MissingRoot) {
  FolderServiceOptions options = Options();
  options.root = root_ / "nowhere";
  FolderService service(desk_.get(), invitations_.get(), options);
  EXPECT_THAT(service.Sweep(), StatusIs(Code::kNotFound, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/home.h"

#include <sys/stat.h>

#include <filesystem>

#include "common/wire/simulated_consortium.h"
#include "site_agent/gate.h"
#include "site_agent/policy.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempFolder;

TEST(HomeTest, ReadIdentity_NotEnrolled) {
  const TempFolder temp;
  EXPECT_THAT(Home(temp.path()).ReadIdentity(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attune-site enroll")));
}

TEST(HomeTest, Identity_RoundTrip) {
  const TempFolder temp;
  const Home home(temp.Child("home"));
  v1::AgentIdentity identity;
  identity.set_consortium("c");
  identity.set_site("a");
  identity.set_coordinator("host:1");
  ASSERT_OK(home.MakeIdentityFolder());
  ASSERT_OK(home.WriteIdentity(identity));
  ASSERT_OK_AND_ASSIGN(const v1::AgentIdentity read, home.ReadIdentity());
  EXPECT_EQ(read.SerializeAsString(), identity.SerializeAsString());
  struct stat info = {};
  ASSERT_EQ(::stat(home.IdentityFile("identity.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(home.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(HomeTest, ReadIdentity_Damaged) {
  const TempFolder temp;
  const Home home(temp.path());
  ASSERT_OK(home.MakeIdentityFolder());
  ASSERT_OK(WriteFileAtomically(home.IdentityFile("identity.json"), "{\"site\": ", FileAccess::kOwnerOnly));
  EXPECT_THAT(home.ReadIdentity(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("identity.json")));
}

TEST(HomeTest, ReadSiteConfig_Missing) {
  const TempFolder temp;
  EXPECT_THAT(Home(temp.path()).ReadSiteConfig(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("participants:")));
}

TEST(HomeTest, Study_NameThatIsNoName) {
  const TempFolder temp;
  EXPECT_THAT(Home(temp.path()).Study("../x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be a study's name")));
}

TEST(HomeTest, ReadManifest_ApprovedIsRead) {
  const testing::StudyAtSite at;
  ASSERT_OK_AND_ASSIGN(const HeldManifest held, at.study->folder.ReadManifest());
  EXPECT_EQ(held.sha256, Sha256Hex(CanonicalBytes(testing::MakeManifest())));
  ASSERT_OK_AND_ASSIGN(const v1::Approval approval, at.study->folder.ReadApproval());
  EXPECT_EQ(approval.manifest_sha256(), held.sha256);
}

TEST(HomeTest, Approve_AnotherManifestForgetsWhatWasExchanged) {
  const testing::StudyAtSite at;
  const StudyFolder& folder = at.study->folder;
  ASSERT_OK(WriteFileAtomically(folder.AnswerPath(1), "answer", FileAccess::kOwnerOnly));
  ASSERT_OK(folder.WriteInputs({}));
  EXPECT_EQ(folder.LastAnsweredRound(), 1u);
  // The same manifest again: everything stays.
  ASSERT_OK_AND_ASSIGN(v1::Approval approval, folder.ReadApproval());
  ASSERT_OK(folder.Approve(CanonicalBytes(testing::MakeManifest()), approval));
  EXPECT_EQ(folder.LastAnsweredRound(), 1u);
  v1::Manifest other = testing::MakeManifest();
  other.mutable_config()->set_min_batch_size(11);
  ASSERT_OK(folder.Approve(CanonicalBytes(other), approval));
  EXPECT_EQ(folder.LastAnsweredRound(), 0u);
  EXPECT_THAT(folder.ReadInputs(), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST(HomeTest, OpenApprovedStudy_NotApproved) {
  const TempFolder temp;
  EXPECT_THAT(OpenApprovedStudy(Home(temp.path()), "a", "s"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("attune-site approve s")));
}

TEST(HomeTest, MakeSiteStudy_NotOnTheRoster) {
  const testing::StudyAtSite at;
  EXPECT_THAT(MakeSiteStudy(at.home, "z", at.study->held),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not on the roster")));
}

TEST(HomeTest, MakeSiteStudy_NeedsAPolicy) {
  const testing::StudyAtSite at;
  std::filesystem::remove(at.home.PolicyPath());
  EXPECT_THAT(MakeSiteStudy(at.home, "a", at.study->held),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attune-site policy init")));
  EXPECT_THAT(OpenApprovedStudy(at.home, "a", "s"), StatusIs(absl::StatusCode::kFailedPrecondition, _));
}

TEST(HomeTest, MakeSiteStudy_PermissiveOnlyInTheSimulator) {
  const testing::StudyAtSite at;
  ASSERT_OK(WriteFileAtomically(at.home.PolicyPath(), "permissive_test: true\nmin_cell: 1\n", FileAccess::kOwnerOnly));
  EXPECT_THAT(MakeSiteStudy(at.home, "a", at.study->held),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("only in attune-simulate")));
  HeldManifest held = at.study->held;
  held.manifest.set_consortium(kSimulatedConsortium);
  EXPECT_OK(MakeSiteStudy(at.home, "a", held));
}

TEST(HomeTest, MakeSiteStudy_ApprovedByPolicyAsLongAsItIsListed) {
  const testing::StudyAtSite at;
  const std::string& hash = at.study->held.sha256;
  ASSERT_OK(at.study->folder.Approve(CanonicalBytes(at.study->held.manifest), ApprovalByPolicy(hash)));
  EXPECT_THAT(OpenApprovedStudy(at.home, "a", "s"), StatusIs(absl::StatusCode::kPermissionDenied, _)) << "no longer listed";
  ASSERT_OK(WriteFileAtomically(at.home.PolicyPath(), absl::StrCat(testing::kPolicyText, "approved_manifests: ", hash, "\n"),
                                FileAccess::kOwnerOnly));
  ASSERT_OK_AND_ASSIGN(const SiteStudy study, OpenApprovedStudy(at.home, "a", "s"));
  // What has to be agreed to by name is not.
  EXPECT_EQ(study.approval->allow_missing(), v1::ALLOW_MISSING_UNSPECIFIED);
  EXPECT_FALSE(study.approval->allow_reference_batch());
  // A changed manifest is another one.
  HeldManifest other = at.study->held;
  other.manifest.mutable_config()->set_min_batch_size(11);
  other.sha256 = Sha256Hex(CanonicalBytes(other.manifest));
  ASSERT_OK_AND_ASSIGN(const SiteStudy changed, MakeSiteStudy(at.home, "a", other));
  EXPECT_THAT(CheckApproved("s", changed.held.sha256, changed.approval), StatusIs(absl::StatusCode::kPermissionDenied, _));
}

TEST(HomeTest, MakeSiteStudy_UnknownMethod) {
  const testing::StudyAtSite at;
  HeldManifest held = at.study->held;
  held.manifest.set_method("combat/9");
  EXPECT_THAT(MakeSiteStudy(at.home, "a", held), StatusIs(absl::StatusCode::kNotFound, HasSubstr("combat/9")));
}

}  // namespace
}  // namespace attune

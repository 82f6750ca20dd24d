// SPDX-License-Identifier: Apache-2.0
//
// A coordinator, or a site, that does not keep to the protocol of secure aggregation, at the level of a whole study. Attacks on
// single messages: tests/common/security/aggregation_*_attacks_test.cc.
#include <gtest/gtest.h>

#include "attune/v1/aggregation.pb.h"
#include "common/wire/bundle.h"
#include "common/wire/masked_bundle.h"
#include "coordinator/round_outcome.h"
#include "tests/support/masked_consortium.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;

BlobStore BlobsOf(MaskedConsortium& consortium) { return BlobStore::Open(consortium.temp / "blobs").value(); }

// Both the reference and what Fetch brings are the coordinator's to choose.
void ForgeBundle(DeskCourier& courier, v1::BundleRef& ref, const std::string& bytes) {
  ref.set_sha256(Sha256Hex(bytes));
  ref.set_size(bytes.size());
  courier.forged[ref.sha256()] = bytes;
}

TEST(StudyAttack, CraftedParametersOfRoundTwo_AreRefused) {
  // Residuals about a chosen beta would make the sum of squares a quadratic query of the coordinator's choice.
  MaskedConsortium consortium(3);
  DeskCourier& courier = *consortium.site("site0").courier;
  courier.bend = [&](v1::NextReply& reply) {
    if (reply.task() != v1::NextReply::TASK_AGGREGATE || reply.round() != 2) return;
    const BlobStore blobs = BlobsOf(consortium);
    Question question = LoadQuestion(blobs, reply.bundles(0).sha256()).value();
    question.body.Mutable("beta")(0, 0) += 1e-3;
    const std::string path = consortium.temp / "crafted";
    EXPECT_OK(WriteQuestion(path, {consortium.manifest_sha256, 2, ""}, question));
    ForgeBundle(courier, *reply.mutable_bundles(0), ReadFile(path).value());
  };
  EXPECT_THAT(consortium.RunAll(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not follow from the sums")));
  EXPECT_EQ(consortium.status().reports.at("site0"), v1::SITE_STATE_REFUSED_BY_POLICY);
}

TEST(StudyAttack, CraftedCorrection_IsRefused) {
  MaskedConsortium consortium(3);
  DeskCourier& courier = *consortium.site("site0").courier;
  courier.bend = [&](v1::NextReply& reply) {
    if (reply.task() != v1::NextReply::TASK_CORRECT) return;
    const BlobStore blobs = BlobsOf(consortium);
    const Bundle bundle =
        OpenBundle(blobs.PathOf(reply.bundles(0).sha256()), v1::BUNDLE_KIND_CORRECTION_COMMON, {"", 0, ""}).value();
    Correction correction = CorrectionOf(bundle, nullptr).value();
    correction.common.Mutable("sigma")(0, 0) *= 2;
    const std::string path = consortium.temp / "crafted";
    EXPECT_OK(WriteCorrectionCommon(path, {consortium.manifest_sha256, 2, bundle.header.question_sha256()}, correction));
    ForgeBundle(courier, *reply.mutable_bundles(0), ReadFile(path).value());
  };
  EXPECT_THAT(consortium.RunAll(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("the correction does not follow")));
}

TEST(StudyAttack, SumWithoutThisSiteOrOverTooFew_IsRefused) {
  for (const std::vector<std::string>& sites :
       {std::vector<std::string>{"site1", "site2", "site3"}, {"site0"}, {"site0", "site1", "site2", "stranger"}}) {
    MaskedConsortium consortium(4);
    DeskCourier& courier = *consortium.site("site0").courier;
    courier.bend = [&](v1::NextReply& reply) {
      if (reply.round() != 2 || reply.sums_size() == 0) return;
      const BlobStore blobs = BlobsOf(consortium);
      const StudyStatus status = consortium.status();
      const BundleBinding binding{consortium.manifest_sha256, 1, status.rounds[0].question_sha256};
      const Form form = LoadQuestion(blobs, binding.question_sha256)->form;
      const Summary sum = OpenSum(blobs.PathOf(reply.sums(0).sha256()), binding, form)->sum;
      const std::string path = consortium.temp / "crafted";
      EXPECT_OK(WriteSum(path, binding, sum, sites));
      ForgeBundle(courier, *reply.mutable_sums(0), ReadFile(path).value());
    };
    EXPECT_THAT(consortium.RunAll(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("shows a sum of round 1")));
  }
}

TEST(StudyAttack, PlainAnswerAsked_IsRefusedByTheSite) {
  MaskedConsortium consortium(3);
  consortium.site("site0").courier->bend = [](v1::NextReply& reply) {
    if (reply.task() == v1::NextReply::TASK_AGGREGATE) reply.set_task(v1::NextReply::TASK_ANSWER);
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("masked")));
  EXPECT_FALSE(FileExists(consortium.site("site0").study->folder.AnswerPath(1)));
}

TEST(StudyAttack, OldAttempt_IsNotTakenUpAgain) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  std::filesystem::remove(consortium.site("site1").study->folder.File(kAggregationSecretsFile));
  EXPECT_THAT(consortium.Run("site1"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));  // asks for attempt 2, and joins it
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  consortium.site("site0").courier->bend = [](v1::NextReply& reply) {
    reply.set_task(v1::NextReply::TASK_AGGREGATE);
    reply.set_attempt(1);
    reply.set_step(v1::AGGREGATION_STEP_KEYS);
    reply.mutable_bundles()->Clear();
    reply.add_bundles()->set_sha256(std::string(64, 'a'));
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("")));
}

TEST(StudyAttack, OtherRosterInTheSameAttempt_IsRefused) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  DeskCourier& courier = *consortium.site("site0").courier;
  courier.bend = [&](v1::NextReply& reply) {
    if (reply.task() == v1::NextReply::TASK_AGGREGATE) ForgeBundle(courier, *reply.mutable_bundles(1), "another roster");
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("another key_roster")));
}

TEST(StudyAttack, TwoSetsOfSurvivors_AreNotBothSigned) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_CONSISTENCY);
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
  const StudyFolder& folder = consortium.site("site0").study->folder;
  // The coordinator forgets that this site has signed, and the site's files of the step are lost; what it signed is not.
  std::filesystem::remove(folder.File("aggregation-sent-4.bundle"));
  std::filesystem::remove(folder.File("aggregation-received-survivors.pb"));
  const BlobStore blobs = BlobsOf(consortium);
  v1::Survivors survivors;
  ASSERT_TRUE(survivors.ParseFromString(ReadFile(blobs.PathOf(consortium.record().survivors_sha256)).value()));
  survivors.mutable_survivors()->RemoveLast();
  DeskCourier& courier = *consortium.site("site0").courier;
  const StudyStatus status = consortium.status();
  const AggregationRecord record = status.rounds[0].aggregation;
  courier.bend = [&](v1::NextReply& reply) {
    reply.set_task(v1::NextReply::TASK_AGGREGATE);
    reply.set_attempt(1);
    reply.set_round(1);
    reply.set_step(v1::AGGREGATION_STEP_CONSISTENCY);
    reply.mutable_bundles()->Clear();
    for (const std::string& sha256 :
         {status.rounds[0].question_sha256, record.key_roster_sha256, record.shares_for.at("site0")}) {
      reply.add_bundles()->set_sha256(sha256);
    }
    ForgeBundle(courier, *reply.add_bundles(), survivors.SerializeAsString());
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("two sets of survivors")));
}

TEST(StudyAttack, ChangedSums_AreNotMaskedTwiceInOneAttempt) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  // The site masks, keeps the digest, and is killed before the masked file is there; its own sums are then changed by hand.
  MaskedConsortium::Site& site = consortium.site("site0");
  consortium.site("site0").courier->before = [](const std::string& call) {
    return call == "submit-3" ? absl::UnavailableError("cut") : absl::OkStatus();
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cut")));
  std::filesystem::remove(site.study->folder.File("aggregation-sent-3.bundle"));
  const std::string own = site.study->folder.OwnPath(1);
  std::map<std::string, Summary> parts = OpenBundle(own, v1::BUNDLE_KIND_ANSWER, {"", 0, ""})->parts;
  parts.begin()->second.Mutable("yy")(0, 0) += 1;
  EXPECT_OK(WriteAnswer(own, {consortium.manifest_sha256, 1, consortium.status().rounds[0].question_sha256}, parts));
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("two vectors")));
}

TEST(StudyAttack, MessageOfAnotherSite_IsRefusedByTheDesk) {
  MaskedConsortium consortium(3);
  consortium.site("site0").courier->before = [](const std::string& call) {
    return call == "submit-1" ? absl::UnavailableError("held back") : absl::OkStatus();
  };
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("held back")));
  const std::string path = consortium.site("site0").study->folder.File("aggregation-sent-1.bundle");
  v1::UploadHeader header;
  header.set_study("s");
  header.set_manifest_sha256(consortium.manifest_sha256);
  header.set_round(1);
  header.set_attempt(1);
  header.set_step(v1::AGGREGATION_STEP_KEYS);
  header.mutable_bundle()->set_sha256(Sha256OfFile(path).value());
  header.mutable_bundle()->set_size(std::filesystem::file_size(path));
  EXPECT_THAT(consortium.site("site1").courier->Submit(header, path),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("the keys of 'site0'")));
  header.set_step(v1::AGGREGATION_STEP_MASKED);
  EXPECT_THAT(consortium.site("site1").courier->Submit(header, path),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not asked of this site now")));
}

TEST(StudyAttack, SharesOfOthers_AreNotHandedOut) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  v1::FetchRequest fetch;
  fetch.set_study("s");
  fetch.set_manifest_sha256(consortium.manifest_sha256);
  const AggregationRecord record = consortium.record();
  fetch.set_sha256(record.shares_for.at("site1"));
  EXPECT_THAT(consortium.desk().BundlePath("site0", fetch),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("no bundle")));
  fetch.set_sha256(record.messages.at(v1::AGGREGATION_STEP_SHARES).at("site0"));
  EXPECT_THAT(consortium.desk().BundlePath("site0", fetch),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("no bundle")));
}

TEST(StudyAttack, NewEnrolment_DoesNotSignForAnOldManifest) {
  MaskedConsortium consortium(3);
  const KeyAndRequest own = MakeKeyAndRequest("site0").value();
  consortium.site("site0").signer = {
      own.key_pem, SignSiteRequest(MakeAuthority("c").value(), own.request_pem, SiteUri("c", "site0"), 30).value()};
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
}

}  // namespace
}  // namespace attune::testing

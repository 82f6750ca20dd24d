// SPDX-License-Identifier: Apache-2.0
//
// A whole study under secure aggregation: what comes out, what the coordinator has on its disk, and that nothing is lost when
// somebody is killed.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "common/numeric/fixed_point.h"
#include "common/security/aggregation.h"
#include "common/tables/delimited.h"
#include "common/wire/bundle.h"
#include "common/wire/masked_bundle.h"
#include "coordinator/round_outcome.h"
#include "coordinator/verify.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/masked_consortium.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The table that a site wrote, row by row.
Values TableOf(const MaskedConsortium& consortium, const std::string& site) {
  Values values;
  std::istringstream lines(consortium.Harmonized(site));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    std::string cell;
    std::getline(cells, cell, '\t');
    values.emplace_back();
    while (std::getline(cells, cell, '\t')) values.back().push_back(std::stod(cell));
  }
  return values;
}

std::string OwnPath(MaskedConsortium& consortium, const std::string& site, int round) {
  return consortium.site(site).study->folder.OwnPath(static_cast<std::uint32_t>(round));
}

TEST(MaskedStudy, Result_EqualsPerBatch) {
  MaskedConsortium masked(4);
  MaskedConsortium clear(4, v1::RELEASE_PER_BATCH);
  ASSERT_OK(masked.RunAll());
  ASSERT_OK(clear.RunAll());
  EXPECT_EQ(masked.status().state, v1::STUDY_STATE_COMPLETE);
  for (const std::string& site : masked.names()) {
    const Values values = TableOf(masked, site);
    ASSERT_EQ(values.size(), masked.site(site).rows.size());
    EXPECT_LT(LargestRelativeDifference(values, TableOf(clear, site)), 1e-9) << site;
  }
}

TEST(MaskedStudy, UnmaskedIntegers_AreThePlainSum) {
  MaskedConsortium consortium(5);
  ASSERT_OK(consortium.RunAll());
  const StudyStatus status = consortium.status();
  for (int round = 1; round <= 2; ++round) {
    const RoundRecord& record = status.rounds[static_cast<std::size_t>(round - 1)];
    const std::string blob = consortium.temp / "blobs/";
    BlobStore blobs = BlobStore::Open(consortium.temp / "blobs").value();
    const Question question = LoadQuestion(blobs, record.question_sha256).value();
    const BundleBinding binding{consortium.manifest_sha256, static_cast<std::uint32_t>(round), record.question_sha256};
    const SumOfSites sum = OpenSum(blobs.PathOf(record.aggregation.sum_sha256), binding, question.form).value();
    EXPECT_EQ(sum.sites, consortium.names());
    std::size_t i = 0;
    for (const BlockSpec& block : question.form) {
      for (Eigen::Index entry = 0; entry < block.rows * block.cols; ++entry, ++i) {
        FixedWord plain = 0;
        for (const std::string& site : consortium.names()) {
          const Bundle own = OpenBundle(OwnPath(consortium, site, round), v1::BUNDLE_KIND_ANSWER, binding).value();
          plain += ToFixed(own.parts.begin()->second.values()[i], block.resolution_log2, 5).value();
        }
        ASSERT_EQ(sum.sum.values()[i], FromFixed(plain, block.resolution_log2))
            << "round " << round << ", block " << block.name;
      }
    }
  }
}

TEST(MaskedStudy, CoordinatorsDisk_HoldsNoSitesOwnSums) {
  MaskedConsortium consortium(4);
  ASSERT_OK(consortium.RunAll());
  std::string disk;
  for (const auto& file : std::filesystem::recursive_directory_iterator(consortium.temp / "blobs")) {
    if (file.is_regular_file()) disk += ReadFile(file.path().string()).value();
  }
  int looked_for = 0;
  for (const std::string& site : consortium.names()) {
    const Bundle own = OpenBundle(OwnPath(consortium, site, 1), v1::BUNDLE_KIND_ANSWER, {"", 0, ""}).value();
    const Summary& summary = own.parts.begin()->second;
    for (const BlockSpec& block : summary.form()) {
      for (Eigen::Index i = 0; i < block.rows * block.cols; ++i) {
        const double value = summary[block.name].data()[i];
        if (value == std::floor(value)) continue;  // a count, or 0: these bytes are everywhere
        const FixedWord word = ToFixed(value, block.resolution_log2, 4).value();
        EXPECT_THAT(disk.find(std::string(reinterpret_cast<const char*>(&value), sizeof(value))), std::string::npos);
        EXPECT_THAT(disk.find(std::string(reinterpret_cast<const char*>(&word), sizeof(word))), std::string::npos);
        ++looked_for;
      }
    }
  }
  EXPECT_GT(looked_for, 100);
}

TEST(MaskedStudy, KilledAtEveryStep_GoesOnWithTheSameBytes) {
  for (const v1::AggregationStep step : {v1::AGGREGATION_STEP_SHARES, v1::AGGREGATION_STEP_MASKED,
                                         v1::AGGREGATION_STEP_CONSISTENCY, v1::AGGREGATION_STEP_UNMASK}) {
    MaskedConsortium consortium(3);
    consortium.RunUntil(step);
    consortium.OpenDesk();
    ASSERT_OK(consortium.RunAll()) << step;
    EXPECT_EQ(consortium.status().rounds.front().aggregation.attempt, 1u);
    EXPECT_EQ(consortium.status().state, v1::STUDY_STATE_COMPLETE);
  }
}

TEST(MaskedStudy, ReplyLost_TheSameMessageIsSentAgain) {
  MaskedConsortium consortium(3);
  // Every submission takes effect, and its reply is lost once.
  for (const std::string& name : consortium.names()) {
    auto lost = std::make_shared<std::set<std::string>>();
    consortium.site(name).courier->before = [lost](const std::string& call) {
      return lost->insert(call).second && call != "next" ? absl::UnavailableError("lost") : absl::OkStatus();
    };
  }
  ASSERT_OK(consortium.RunAll());
  EXPECT_EQ(consortium.status().rounds.front().aggregation.attempt, 1u);
}

TEST(MaskedStudy, KeysLost_AnotherAttemptBeginsWithNewKeys) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_MASKED);
  const std::string roster = consortium.record().key_roster_sha256;
  std::filesystem::remove(consortium.site("site1").study->folder.File(kAggregationSecretsFile));
  ASSERT_OK(consortium.RunAll());
  EXPECT_EQ(consortium.status().rounds.front().aggregation.attempt, 2u);
  EXPECT_NE(consortium.status().rounds.front().aggregation.key_roster_sha256, roster);
  EXPECT_EQ(consortium.status().state, v1::STUDY_STATE_COMPLETE);
}

TEST(MaskedStudy, AfterUnmasking_NoSecretIsLeft) {
  MaskedConsortium consortium(3);
  consortium.RunUntil(v1::AGGREGATION_STEP_UNMASK);
  EXPECT_THAT(consortium.Run("site0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("waits for")));
  EXPECT_FALSE(FileExists(consortium.site("site0").study->folder.File(kAggregationSecretsFile)));
  ASSERT_OK(consortium.RunAll());
  for (const std::string& name : consortium.names()) {
    for (const auto& file :
         std::filesystem::directory_iterator(std::filesystem::path(OwnPath(consortium, name, 1)).parent_path())) {
      EXPECT_THAT(file.path().filename().string(), Not(HasSubstr("aggregation-")));
    }
  }
}

TEST(MaskedStudy, Verify_RecomputesEveryStep) {
  MaskedConsortium consortium(3);
  ASSERT_OK(consortium.RunAll());
  const auto journal = Journal::Open(consortium.temp / "journal.sqlite", false).value();
  const BlobStore blobs = BlobStore::Open(consortium.temp / "blobs").value();
  const BlobStore scratch = BlobStore::Open(consortium.temp / "scratch").value();
  std::vector<std::string> steps;
  EXPECT_OK(
      VerifyStudy("c", "s", *journal, blobs, FindMethod, scratch, [&](absl::string_view step) { steps.emplace_back(step); }));
  int closed = 0;
  for (const std::string& step : steps) closed += step.find("step-closed") == std::string::npos ? 0 : 1;
  EXPECT_EQ(closed, 10);  // five steps of two rounds
  // A masked sum that was changed on the coordinator's disk is found by its digest.
  const std::string masked = consortium.status().rounds[0].aggregation.messages.at(v1::AGGREGATION_STEP_MASKED).at("site0");
  std::string bytes = ReadFile(blobs.PathOf(masked)).value();
  bytes.back() ^= 1;
  std::ofstream(blobs.PathOf(masked), std::ios::binary) << bytes;
  EXPECT_THAT(VerifyStudy("c", "s", *journal, blobs, FindMethod, scratch, [](absl::string_view) {}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("step-done")));
}

// The site's values in another unit.
void Scale(MaskedConsortium::Site& site, double factor) {
  for (Row& row : site.rows) {
    for (double& value : row.values) value *= factor;
  }
  site.tables->data = std::make_unique<MemorySiteData>(site.study->facts.features, site.rows);
  site.tables->inputs = site.tables->data->inputs();
}

TEST(MaskedStudy, ValuesBeyondFixedPoint_NameBlockAndRemedyAndNothingLeaves) {
  struct Case {
    double factor;
    const char* block;
    const char* remedy;
  };
  for (const Case& c : {Case{1e14, "'y_sum'", "larger unit"}, Case{1e-9, "'yy'", "smaller unit"}}) {
    MaskedConsortium consortium(3);
    Scale(consortium.site("site0"), c.factor);
    EXPECT_THAT(consortium.RunAll(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         ::testing::AllOf(HasSubstr(c.block), HasSubstr(c.remedy), HasSubstr("multiply_by"))));
    EXPECT_EQ(consortium.record().step, v1::AGGREGATION_STEP_MASKED);
    EXPECT_EQ(consortium.record().messages[v1::AGGREGATION_STEP_MASKED].count("site0"), 0u);
    EXPECT_EQ(consortium.status().reports.at("site0"), v1::SITE_STATE_STOPPED_BY_DATA_CHECK);
  }
}

TEST(MaskedStudy, TwoSites_CannotStart) {
  MaskedConsortium three(3);
  v1::StudyConfig config = three.status().config;
  config.set_study("two");
  ASSERT_OK(three.desk().CreateStudy(config, false));
  for (const char* name : {"site0", "site1"}) {
    v1::RegisterRequest request;
    request.set_study("two");
    request.add_batches(kOnlyBatchLabel);
    request.add_features("f");
    request.set_certificate_pem(three.site(name).signer.certificate_pem);
    ASSERT_OK(three.desk().Register(name, request));
  }
  EXPECT_THAT(three.desk().StartStudy("two"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("3 to 200 sites")));
}

TEST(MaskedStudy, Register_NeedsTheSitesOwnCertificate) {
  MaskedConsortium consortium(3);
  v1::StudyConfig config = consortium.status().config;
  config.set_study("next");
  ASSERT_OK(consortium.desk().CreateStudy(config, false));
  v1::RegisterRequest request;
  request.set_study("next");
  request.add_batches(kOnlyBatchLabel);
  request.add_features("f");
  EXPECT_THAT(consortium.desk().Register("site0", request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate")));
  request.set_certificate_pem(consortium.site("site1").signer.certificate_pem);
  EXPECT_THAT(consortium.desk().Register("site0", request), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("site0")));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/policy.h"

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

TEST(PolicyTest, ReadPolicy_NoFileTellsTheCommand) {
  EXPECT_THAT(ReadPolicy(testing::TempFolder() / "policy.yaml"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attune-site policy init")));
}

TEST(PolicyTest, ParsePolicy_EmptyAllowsNothing) {
  ASSERT_OK_AND_ASSIGN(const v1::SitePolicy policy, ParsePolicy("", "policy.yaml"));
  EXPECT_EQ(policy.studies_size() + policy.methods_size() + policy.covariates_size() + policy.features_size(), 0);
  EXPECT_EQ(policy.min_subjects(), 10u);
  EXPECT_EQ(policy.min_cell(), 5u);
  EXPECT_EQ(policy.max_param_ratio(), 0.33);
  EXPECT_EQ(policy.release(), v1::RELEASE_POOLED);
  EXPECT_EQ(policy.min_release_difference(), 10u);
  EXPECT_EQ(policy.max_releases_per_subject_set(), 1u);
  EXPECT_EQ(policy.missing(), v1::MISSING_PERMISSION_REFUSE);
  EXPECT_EQ(MinSitesOf(policy, v1::RELEASE_POOLED), 4u);
  EXPECT_EQ(MinSitesOf(policy, v1::RELEASE_PER_BATCH), 3u);
}

TEST(PolicyTest, ParsePolicy_UnknownKeyAndWrongTypeWithTheLine) {
  EXPECT_THAT(ParsePolicy("studies: x\nmin_subject: 10\n", "policy.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("policy.yaml:2"), HasSubstr("min_subjects"))));
  EXPECT_THAT(ParsePolicy("min_subjects: many\n", "policy.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.yaml:1")));
  EXPECT_THAT(ParsePolicy("release: everything\n", "policy.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("policy.yaml:1"), HasSubstr("per_batch"))));
}

struct Floor {
  const char* key;
  int floor;
};
class FloorTest : public ::testing::TestWithParam<Floor> {};

TEST_P(FloorTest, ParsePolicy_AtTheFloorAndBelow) {
  const auto& [key, floor] = GetParam();
  EXPECT_OK(ParsePolicy(absl::StrCat(key, ": ", floor), "policy.yaml"));
  const std::string below = absl::StrCat(key, ": ", floor - 1);
  EXPECT_THAT(ParsePolicy(below, "policy.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("policy.yaml"), HasSubstr(key), HasSubstr(absl::StrCat("floor of ", floor)))));
  if (floor > 1) {
    EXPECT_OK(ParsePolicy(absl::StrCat("permissive_test: true\n", below), "policy.yaml"));
  }
  EXPECT_FALSE(ParsePolicy(absl::StrCat("permissive_test: true\n", key, ": 0"), "policy.yaml").ok());
}

INSTANTIATE_TEST_SUITE_P(Keys, FloorTest,
                         ::testing::Values(Floor{"min_subjects", 5}, Floor{"min_cell", 3}, Floor{"min_sites", 2},
                                           Floor{"min_release_difference", 5}, Floor{"max_releases_per_subject_set", 1}),
                         [](const auto& each) { return std::string(each.param.key); });

TEST(PolicyTest, ParsePolicy_RatioAndHashes) {
  EXPECT_OK(ParsePolicy("max_param_ratio: 1", "p"));
  EXPECT_THAT(ParsePolicy("max_param_ratio: 0", "p"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_param_ratio")));
  EXPECT_FALSE(ParsePolicy("max_param_ratio: 1.01", "p").ok());
  EXPECT_THAT(ParsePolicy("approved_manifests: abc", "p"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("64")));
  const std::string hash(64, 'a');
  ASSERT_OK_AND_ASSIGN(const v1::SitePolicy policy,
                       ParsePolicy(absl::StrCat("approved_manifests: [", std::string(64, 'A'), "]"), "p"));
  EXPECT_TRUE(ApprovesManifest(policy, hash));
  EXPECT_FALSE(ApprovesManifest(policy, std::string(64, 'b')));
}

TEST(PolicyTest, CheckPermissive_OnlyInTheSimulatedConsortium) {
  v1::SitePolicy policy = DefaultPolicy();
  EXPECT_OK(CheckPermissive(policy, "hospitals"));
  policy.set_permissive_test(true);
  EXPECT_OK(CheckPermissive(policy, "simulated"));
  for (const char* consortium : {"hospitals", ""}) {
    EXPECT_THAT(CheckPermissive(policy, consortium),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("permissive_test")));
  }
}

TEST(PolicyTest, PolicyTemplate_IsTheDefaultAndExplainsEachKey) {
  const std::string text = PolicyTemplate(nullptr);
  ASSERT_OK_AND_ASSIGN(const v1::SitePolicy policy, ParsePolicy(text, "policy.yaml"));
  EXPECT_EQ(policy.SerializeAsString(), DefaultPolicy().SerializeAsString());
  const auto& type = *v1::SitePolicy::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->name() != "permissive_test") {
      EXPECT_THAT(text, HasSubstr(absl::StrCat(type.field(i)->name(), ":")));
    }
  }
}

TEST(PolicyTest, PolicyTemplate_OfAStudyAllowsJustThat) {
  v1::StudyConfig study;
  study.set_study("thickness");
  study.add_covariates()->set_name("age \"at scan\"");
  study.mutable_features()->mutable_table()->add_columns("lh_*");
  (*study.mutable_method()->mutable_combat()->mutable_fit_on())["dx"] = "control";
  study.mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_ALLOW);
  study.set_release(v1::RELEASE_PER_BATCH);
  ASSERT_OK_AND_ASSIGN(const v1::SitePolicy policy, ParsePolicy(PolicyTemplate(&study), "policy.yaml"));
  EXPECT_THAT(policy.studies(), ElementsAre("thickness"));
  EXPECT_THAT(policy.methods(), ElementsAre("combat/1"));
  EXPECT_THAT(policy.covariates(), ElementsAre("age \"at scan\"", "dx"));
  EXPECT_THAT(policy.features(), ElementsAre("lh_*"));
  EXPECT_EQ(policy.release(), v1::RELEASE_PER_BATCH);
  EXPECT_EQ(policy.missing(), v1::MISSING_PERMISSION_ALLOW);
  EXPECT_EQ(policy.min_subjects(), 10u) << "thresholds are never loosened for a study";
}

TEST(PolicyTest, DescribePolicy_InWords) {
  ASSERT_OK_AND_ASSIGN(const v1::SitePolicy policy, ParsePolicy("studies: \"*\"\nmethods: combat/1\nmin_subjects: 20\n", "p"));
  EXPECT_THAT(DescribePolicy(policy), AllOf(HasSubstr("all are allowed"), HasSubstr("combat/1"), HasSubstr("none is allowed"),
                                            HasSubstr("at least 20 people")));
}

}  // namespace
}  // namespace attune

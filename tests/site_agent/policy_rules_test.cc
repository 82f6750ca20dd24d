// SPDX-License-Identifier: Apache-2.0
#include "site_agent/policy_rules.h"

#include <cmath>
#include <limits>

#include "site_agent/answer.h"
#include "site_agent/policy.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MakeManifest;
using testing::Row;
using testing::StatusIs;
using testing::StudyAtSite;

constexpr double kRuleNan = std::numeric_limits<double>::quiet_NaN();
constexpr auto kRuleDenied = absl::StatusCode::kPermissionDenied;

const std::vector<Covariate> kSex = {{.name = "sex", .levels = {"F", "M"}}};
const std::vector<std::string> kFeatureNames = {"f0", "f1"};

// Women and men of one batch, with two features that look like measurements.
std::vector<Row> People(int women, int men) {
  std::vector<Row> rows;
  for (int i = 0; i < women + men; ++i) {
    rows.push_back(
        {.id = absl::StrCat(100 + i), .batch = "a/one", .covariates = {i < women ? 0.0 : 1.0}, .values = {2.5 + i, 1}});
  }
  return rows;
}

std::vector<BatchSurvey> Survey(const std::vector<Row>& rows, bool missing = false) {
  auto survey = SurveyPeople(kSex, kFeatureNames.size(), testing::MemoryCohort(rows), {.missing = missing});
  EXPECT_OK(survey);
  return *std::move(survey);
}

TEST(PolicyRulesTest, StudyAndMethodRule_ListsAllowNothingByThemselves) {
  v1::SitePolicy policy = DefaultPolicy();
  const v1::StudyConfig study = MakeManifest().config();
  EXPECT_THAT(StudyRule(policy, study).result, StatusIs(kRuleDenied, AllOf(HasSubstr("study s"), HasSubstr("'studies'"))));
  EXPECT_THAT(MethodRule(policy, "combat/1").result, StatusIs(kRuleDenied, HasSubstr("'methods'")));
  policy.add_studies("t*");
  policy.add_methods("combat/2");
  EXPECT_FALSE(StudyRule(policy, study).result.ok());
  EXPECT_FALSE(MethodRule(policy, "combat/1").result.ok());
  policy.add_studies("?");
  policy.add_methods("combat/*");
  EXPECT_OK(StudyRule(policy, study).result);
  EXPECT_OK(MethodRule(policy, "combat/1").result);
}

TEST(PolicyRulesTest, CovariatesRule_AlsoColumnsThatChooseWhom) {
  v1::SitePolicy policy = DefaultPolicy();
  v1::StudyConfig study = MakeManifest().config();
  policy.add_covariates("age");
  EXPECT_OK(CovariatesRule(policy, study).result);
  (*study.mutable_method()->mutable_combat()->mutable_fit_on())["dx"] = "control";
  EXPECT_THAT(CovariatesRule(policy, study).result, StatusIs(kRuleDenied, HasSubstr("covariate dx:")));
  policy.add_covariates("dx");
  EXPECT_OK(CovariatesRule(policy, study).result);
}

TEST(PolicyRulesTest, FeaturesRule_EveryOne) {
  v1::SitePolicy policy = DefaultPolicy();
  EXPECT_FALSE(FeaturesRule(policy, kFeatureNames).result.ok());
  policy.add_features("f0");
  EXPECT_THAT(FeaturesRule(policy, kFeatureNames).result, StatusIs(kRuleDenied, HasSubstr("feature f1:")));
  policy.add_features("f*");
  EXPECT_OK(FeaturesRule(policy, kFeatureNames).result);
}

TEST(PolicyRulesTest, ReleaseRule_PooledIsTheStricter) {
  v1::SitePolicy policy = DefaultPolicy();
  v1::StudyConfig study = MakeManifest().config();
  EXPECT_THAT(ReleaseRule(policy, study).result, StatusIs(kRuleDenied, HasSubstr("release: per_batch")));
  study.set_release(v1::RELEASE_POOLED);
  EXPECT_OK(ReleaseRule(policy, study).result);
  policy.set_release(v1::RELEASE_PER_BATCH);
  EXPECT_OK(ReleaseRule(policy, study).result);
  study.set_release(v1::RELEASE_PER_BATCH);
  EXPECT_OK(ReleaseRule(policy, study).result);
}

TEST(PolicyRulesTest, SitesRule_FourUnderPooledThreeOtherwise) {
  v1::SitePolicy policy = DefaultPolicy();
  v1::Manifest manifest = MakeManifest();
  EXPECT_THAT(SitesRule(policy, manifest).result, StatusIs(kRuleDenied, HasSubstr("2 sites, fewer than the 3")));
  manifest.add_roster()->set_site("c");
  EXPECT_OK(SitesRule(policy, manifest).result);
  manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  EXPECT_THAT(SitesRule(policy, manifest).result, StatusIs(kRuleDenied, HasSubstr("3 sites, fewer than the 4")));
  manifest.add_roster()->set_site("d");
  EXPECT_OK(SitesRule(policy, manifest).result);
  policy.set_min_sites(5);
  EXPECT_FALSE(SitesRule(policy, manifest).result.ok());
}

TEST(PolicyRulesTest, ReferenceBatchRule_OwnBatchUnderPooledByName) {
  v1::Manifest manifest = MakeManifest();
  manifest.mutable_config()->mutable_method()->mutable_combat()->set_reference_batch("a/one");
  v1::Approval approval;
  EXPECT_OK(ReferenceBatchRule(manifest, "a", approval).result) << "per_batch shows it to the coordinator anyway";
  manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  EXPECT_THAT(ReferenceBatchRule(manifest, "a", approval).result, StatusIs(kRuleDenied, HasSubstr("--allow-reference-batch")));
  EXPECT_OK(ReferenceBatchRule(manifest, "b", approval).result) << "not its own";
  approval.set_allow_reference_batch(true);
  EXPECT_OK(ReferenceBatchRule(manifest, "a", approval).result);
}

TEST(PolicyRulesTest, SubjectsRule_TenPassNineDoNot) {
  const v1::SitePolicy policy = DefaultPolicy();
  EXPECT_OK(SubjectsRule(policy, kFeatureNames, Survey(People(5, 5))).result);
  EXPECT_THAT(SubjectsRule(policy, kFeatureNames, Survey(People(5, 4))).result,
              StatusIs(kRuleDenied, AllOf(HasSubstr("'a/one' has 9"), HasSubstr("min_subjects"))));
}

TEST(PolicyRulesTest, SubjectsRule_EachFeatureAfterMasking) {
  const v1::SitePolicy policy = DefaultPolicy();
  std::vector<Row> rows = People(6, 6);
  const auto check = [&](std::size_t absent) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].values[1] = i < absent ? kRuleNan : 1;
    return SubjectsRule(policy, kFeatureNames, Survey(rows, true)).result;
  };
  EXPECT_OK(check(2));
  EXPECT_THAT(check(3), StatusIs(kRuleDenied, AllOf(HasSubstr("only 9"), HasSubstr("'f1'"))));
  EXPECT_FALSE(check(11).ok());
  EXPECT_OK(check(12)) << "a feature that nobody has is left out by the method";
}

TEST(PolicyRulesTest, CellsRule_FivePassFourDoNotNonePasses) {
  const v1::SitePolicy policy = DefaultPolicy();
  const auto check = [&](int women, int men) {
    return CellsRule(policy, kSex, kFeatureNames, Survey(People(women, men))).result;
  };
  EXPECT_OK(check(5, 5));
  EXPECT_OK(check(12, 0));
  EXPECT_OK(check(0, 12));
  EXPECT_THAT(check(12, 4), StatusIs(kRuleDenied, AllOf(HasSubstr("'a/one'"), HasSubstr("only 4 of 16"), HasSubstr("sex: M"))));
  EXPECT_FALSE(check(1, 12).ok());
}

TEST(PolicyRulesTest, CellsRule_LackedByFew) {
  // Of three levels, two together are rare among those who lack the third.
  const std::vector<Covariate> three = {{.name = "scan", .levels = {"x", "y", "z"}}};
  std::vector<Row> rows;
  for (int i = 0; i < 20; ++i) {
    const bool z = i >= 6;
    rows.push_back({.id = absl::StrCat(100 + i), .batch = "a/one", .covariates = {0, z ? 1.0 : 0.0}, .values = {1, 1}});
  }
  const auto check = [&](std::uint32_t least) {
    v1::SitePolicy policy = DefaultPolicy();
    policy.set_min_cell(least);
    return CellsRule(policy, three, kFeatureNames, *SurveyPeople(three, 2, testing::MemoryCohort(rows), {})).result;
  };
  EXPECT_OK(check(6));
  EXPECT_THAT(check(7), StatusIs(kRuleDenied, AllOf(HasSubstr("have scan: x"), HasSubstr("have not scan: z"))));
}

TEST(PolicyRulesTest, CellsRule_AmongThoseWhoHaveAFeature) {
  // Six men, of whom two have f1: the product of f1 and sex would be about these two.
  const v1::SitePolicy policy = DefaultPolicy();
  std::vector<Row> rows = People(12, 6);
  for (std::size_t i = 12; i < 16; ++i) rows[i].values[1] = kRuleNan;
  EXPECT_THAT(CellsRule(policy, kSex, kFeatureNames, Survey(rows, true)).result,
              StatusIs(kRuleDenied, AllOf(HasSubstr("only 2 of 14"), HasSubstr("'f1'"), HasSubstr("not sex: F"))));
  for (std::size_t i = 16; i < 18; ++i) rows[i].values[1] = kRuleNan;
  EXPECT_OK(CellsRule(policy, kSex, kFeatureNames, Survey(rows, true)).result);
}

TEST(PolicyRulesTest, DescribeRareLevels_HeldOrLackedByFew) {
  EXPECT_THAT(DescribeRareLevels(kSex, Survey(People(3, 1)), 2),
              ElementsAre(HasSubstr("in batch 'a/one', only 1 of 4 people have not sex: F"),
                          HasSubstr("in batch 'a/one', only 1 of 4 people have sex: M")));
}

TEST(PolicyRulesTest, ParametersRule_RatioAndMorePeopleThanParameters) {
  v1::SitePolicy policy = DefaultPolicy();
  const auto check = [&](int people) { return ParametersRule(policy, kSex, Survey(People(people, 0))).result; };
  EXPECT_OK(check(7));  // 2 parameters: 2 / 7 = 0.29
  EXPECT_THAT(check(6), StatusIs(kRuleDenied, AllOf(HasSubstr("'a/one' has 6 people"), HasSubstr("2 parameters"))));
  policy.set_max_param_ratio(1);
  EXPECT_OK(check(3));
  EXPECT_FALSE(check(2).ok()) << "as many people as parameters would be the data themselves";
}

TEST(PolicyRulesTest, ParametersRule_OfTheFeatureThatFewestHave) {
  std::vector<Row> rows = People(10, 0);
  for (std::size_t i = 0; i < 4; ++i) rows[i].values[1] = kRuleNan;
  EXPECT_OK(ParametersRule(DefaultPolicy(), kSex, Survey(rows)).result);
  EXPECT_THAT(ParametersRule(DefaultPolicy(), kSex, Survey(rows, true)).result,
              StatusIs(kRuleDenied, HasSubstr("6 people with")));
}

TEST(PolicyRulesTest, DominanceRule_OneValueThatMakesUpTheSum) {
  v1::SitePolicy policy = DefaultPolicy();
  std::vector<Row> rows = People(10, 0);
  const auto check = [&](double value) {
    rows[3].values[1] = value;  // among nine ones
    return DominanceRule(policy, kFeatureNames, Survey(rows)).result;
  };
  EXPECT_OK(check(81));  // just nine tenths
  EXPECT_THAT(check(82), StatusIs(kRuleDenied, AllOf(HasSubstr("'a/one'"), HasSubstr("'f1'"))));
  EXPECT_FALSE(check(-82).ok());
  policy.set_permissive_test(true);
  EXPECT_OK(check(82));
}

TEST(PolicyRulesTest, DominanceRule_OnlyWhereFewAre) {
  std::vector<Row> rows = People(30, 0);
  rows[0].values[1] = 1e6;
  EXPECT_OK(DominanceRule(DefaultPolicy(), kFeatureNames, Survey(rows)).result);
  rows.pop_back();
  EXPECT_FALSE(DominanceRule(DefaultPolicy(), kFeatureNames, Survey(rows)).result.ok());
}

// ---- In the gate ----

struct Change {
  const char* name;
  void (*change)(v1::SitePolicy*);
};
class GateAsksPolicy : public ::testing::TestWithParam<Change> {};

TEST_P(GateAsksPolicy, Run_RefusesAndTellsTheCoordinatorOnlyThat) {
  StudyAtSite at;
  ASSERT_OK(CheckGate(*at.study, at.tables, at.courier->question));
  GetParam().change(&at.study->policy);
  ASSERT_OK_AND_ASSIGN(const auto rules, JudgeRules(*at.study, at.tables, at.courier->question));
  int broken = 0;
  for (const RuleResult& rule : rules) {
    EXPECT_FALSE(rule.rule.empty());
    broken += rule.result.ok() ? 0 : 1;
  }
  EXPECT_EQ(broken, 1);
  EXPECT_THAT(at.Run(), StatusIs(kRuleDenied, _));
  EXPECT_TRUE(at.courier->submitted.empty());
  EXPECT_THAT(at.courier->reports, ElementsAre(v1::SITE_STATE_REFUSED_BY_POLICY));
  EXPECT_EQ(at.Kept("own-1.bundle"), "");
}

INSTANTIATE_TEST_SUITE_P(Rules, GateAsksPolicy,
                         ::testing::Values(Change{"studies", [](v1::SitePolicy* p) { p->clear_studies(); }},
                                           Change{"methods", [](v1::SitePolicy* p) { p->clear_methods(); }},
                                           Change{"covariates", [](v1::SitePolicy* p) { p->clear_covariates(); }},
                                           Change{"features", [](v1::SitePolicy* p) { p->clear_features(); }},
                                           Change{"release", [](v1::SitePolicy* p) { p->set_release(v1::RELEASE_POOLED); }},
                                           Change{"min_sites", [](v1::SitePolicy* p) { p->set_min_sites(3); }},
                                           Change{"min_subjects", [](v1::SitePolicy* p) { p->set_min_subjects(13); }},
                                           Change{"max_param_ratio", [](v1::SitePolicy* p) { p->set_max_param_ratio(0.16); }}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace attune

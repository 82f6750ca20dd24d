// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/wire/manifest.h"
#include "common/wire/yaml.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGood[] = R"yaml(study: s
covariates: [{name: age, type: continuous, unit: years}, {name: sex, type: categorical, levels: [F, M]}]
method: {combat: {}}
)yaml";

v1::StudyConfig Parse(const std::string& text) {
  v1::StudyConfig config;
  EXPECT_OK(ParseYaml(text, "study.yaml", &config));
  return config;
}

TEST(StudyConfig, Read_SaysEveryDefault) {
  const TempFolder folder;
  ASSERT_OK(WriteFileAtomically(folder / "study.yaml", kGood, FileAccess::kShared));
  ASSERT_OK_AND_ASSIGN(const v1::StudyConfig config, ReadStudyFile(folder / "study.yaml"));
  EXPECT_THAT(config.features().table().columns(), ElementsAre("*"));
  EXPECT_EQ(config.release(), v1::RELEASE_PER_BATCH);
  EXPECT_EQ(config.min_batch_size(), 10u);
  EXPECT_EQ(config.missing_covariates(), v1::MISSING_COVARIATES_ERROR);
  EXPECT_EQ(config.method().combat().prior(), v1::PRIOR_PARAMETRIC);
  EXPECT_EQ(config.method().combat().missing(), v1::MISSING_VALUES_REFUSE);
  EXPECT_EQ(config.method().combat().small_batches(), v1::SMALL_BATCHES_REFUSE);
  EXPECT_EQ(MethodIdOf(config), "combat/1");
  EXPECT_EQ(ReleaseOf(config), Release::kPerBatch);
  const std::vector<Covariate> covariates = CovariatesOf(config);
  ASSERT_EQ(covariates.size(), 2u);
  EXPECT_EQ(covariates[0].unit, "years");
  EXPECT_THAT(covariates[1].levels, ElementsAre("F", "M"));
}

TEST(StudyConfig, Read_NamesTheFile) {
  const TempFolder folder;
  const std::string path = folder / "study.yaml";
  EXPECT_THAT(ReadStudyFile(path), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  ASSERT_OK(WriteFileAtomically(path, "study: s\n", FileAccess::kShared));
  EXPECT_THAT(ReadStudyFile(path),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(path), HasSubstr("'method' is missing"))));
}

TEST(StudyConfig, Check_Refuses) {
  const std::string head = "study: s\nmethod: {combat: {}}\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"method: {combat: {}}\n", "'study' is ''"},
      {"study: ../etc\nmethod: {combat: {}}\n", "'study' is '../etc'"},
      {"study: s\n", "'method' is missing"},
      {head + "covariates: [{type: continuous}]\n", "without a name"},
      {head + "covariates: [{name: age}]\n", "'covariates.age' needs type"},
      {head + "covariates: [{name: a, type: continuous}, {name: a, type: continuous}]\n", "'covariates.a' is there twice"},
      {head + "covariates: [{name: a, type: continuous, levels: [x, y]}]\n", "is continuous and has levels"},
      {head + "covariates: [{name: a, type: categorical, unit: y, levels: [x, y]}]\n", "is categorical and has a unit"},
      {head + "covariates: [{name: a, type: categorical}]\n", "'covariates.a' has 0 levels"},
      {head + "covariates: [{name: a, type: categorical, levels: x}]\n", "'covariates.a' has 1 levels"},
      {head + "covariates: [{name: a, type: categorical, levels: [x, x]}]\n", "'covariates.a.levels' holds 'x' twice"},
      {head + "covariates: [{name: a, type: categorical, levels: [x, NA]}]\n", "the level 'NA', which means a missing value"},
      {head + "covariates: [{name: a, type: categorical, levels: [x, \"a\\tb\"]}]\n", "control characters"},
      {head + "batch: [site, site]\n", "'batch' holds 'site' twice"},
      {head + "batch: ['']\n", "'batch' holds an empty name"},
      {head + "features: {table: {columns: ['']}}\n", "'features.table.columns' holds an empty name"},
      {head + "min_batch_size: 1\n", "'min_batch_size' is 1, expected 2 to"},
      {head + "min_batch_size: 4000000000\n", "'min_batch_size' is 4000000000"},
      {"study: s\nmethod: {combat: {fit_on: {dx: n/a}}}\n", "'method.combat.fit_on.dx' needs the value"},
      {"study: s\nmethod: {combat: {fit_on: {dx: c}}}\ncovariates: [{name: dx, type: categorical, levels: [c, a]}]\n",
       "leave 'dx' out of 'covariates'"},
      {"study: s\nmethod: {combat: {reference_batch: \"a\\nb\"}}\n", "'method.combat.reference_batch' has control characters"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(CheckStudyConfig(Parse(text)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message))) << text;
  }
}

TEST(StudyConfig, Check_RefusesUnknownEnumValues) {
  v1::StudyConfig config = Parse(kGood);
  config.set_release(static_cast<v1::Release>(99));
  EXPECT_THAT(CheckStudyConfig(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("release")));
  config = Parse(kGood);
  config.mutable_method()->mutable_combat()->set_prior(static_cast<v1::Prior>(99));
  EXPECT_THAT(CheckStudyConfig(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("prior")));
}

TEST(StudyConfig, Check_Accepts) {
  for (const char* text :
       {kGood, "study: s\nmethod: {combat: {mean_only: true, reference_batch: NYU, small_batches: mean_only}}\n",
        "study: s\nmethod: {combat: {fit_on: {dx: control}}}\nmin_batch_size: 2\n"}) {
    EXPECT_OK(CheckStudyConfig(Parse(text))) << text;
  }
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/yaml.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/outputs.pb.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::Status ParseStudy(absl::string_view text, v1::StudyConfig* config) { return ParseYaml(text, "study.yaml", config); }

absl::Status ParseStudy(absl::string_view text) {
  v1::StudyConfig config;
  return ParseStudy(text, &config);
}

TEST(Yaml, Parse_WholeStudy) {
  v1::StudyConfig config;
  ASSERT_OK(ParseStudy(R"yaml(
study: abide-thickness
features: {table: {columns: "*"}}   # one scalar for a list of one
batch: [site, scanner]
covariates:
  - {name: age, type: continuous, unit: years}
  - name: sex
    type: categorical
    levels: [F, M]
method:
  combat:
    prior: nonparametric
    mean_only: true
    fit_on: {dx: control, "group": '1'}
release: pooled
min_batch_size: 12
missing_covariates: exclude
)yaml",
                       &config));
  EXPECT_EQ(config.study(), "abide-thickness");
  EXPECT_THAT(config.features().table().columns(), ElementsAre("*"));
  EXPECT_THAT(config.batch(), ElementsAre("site", "scanner"));
  ASSERT_EQ(config.covariates_size(), 2);
  EXPECT_EQ(config.covariates(0).unit(), "years");
  EXPECT_EQ(config.covariates(1).type(), v1::COVARIATE_TYPE_CATEGORICAL);
  EXPECT_THAT(config.covariates(1).levels(), ElementsAre("F", "M"));
  EXPECT_EQ(config.method().combat().prior(), v1::PRIOR_NONPARAMETRIC);
  EXPECT_TRUE(config.method().combat().mean_only());
  EXPECT_EQ(config.method().combat().fit_on().at("dx"), "control");
  EXPECT_EQ(config.method().combat().fit_on().at("group"), "1");
  EXPECT_EQ(config.release(), v1::RELEASE_POOLED);
  EXPECT_EQ(config.min_batch_size(), 12u);
  EXPECT_EQ(config.missing_covariates(), v1::MISSING_COVARIATES_EXCLUDE);
}

TEST(Yaml, Parse_SiteFile) {
  v1::SiteConfig config;
  ASSERT_OK(ParseYaml(R"yaml(
participants: participants.tsv
features: [lh.tsv, rh.tsv]
columns:
  - {name: sex, column: gender, codes: {1: M, "2": F}}
  - {name: age, multiply_by: 0.0833}
)yaml",
                      "site.yaml", &config));
  EXPECT_THAT(config.features(), ElementsAre("lh.tsv", "rh.tsv"));
  EXPECT_EQ(config.columns(0).codes().at("1"), "M");
  EXPECT_EQ(config.columns(0).codes().at("2"), "F");
  EXPECT_FALSE(config.columns(0).has_multiply_by());
  EXPECT_EQ(config.columns(1).multiply_by(), 0.0833);
}

TEST(Yaml, Parse_TextIsKeptAsWritten) {
  v1::StudyConfig config;
  ASSERT_OK(ParseStudy("batch: [yes, no, 007, 1e3, \"null\", 'a: b', \xC3\xA9]\n", &config));
  EXPECT_THAT(config.batch(), ElementsAre("yes", "no", "007", "1e3", "null", "a: b", "\xC3\xA9"));
}

TEST(Yaml, Parse_OneofWithoutOptionsCountsAsSet) {
  for (const char* text : {"method: {combat: }", "method:\n  combat:\n", "method: {combat: {}}", "method: {combat: null}"}) {
    v1::StudyConfig config;
    ASSERT_OK(ParseStudy(text, &config)) << text;
    EXPECT_TRUE(config.method().has_combat()) << text;
  }
}

TEST(Yaml, Parse_EmptyDocument) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
    v1::StudyConfig config;
    config.set_study("left over");
    EXPECT_OK(ParseStudy(text, &config));
    EXPECT_EQ(config.ByteSizeLong(), 0u);
  }
}

TEST(Yaml, Parse_Refuses) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"study: a\nmethod:\n  combat:\n    prio: none\n",
       "study.yaml:4: unknown key 'prio' in 'method.combat'; known keys: prior, mean_only, reference_batch"},
      {"studdy: a\n", "study.yaml:1: unknown key 'studdy'; known keys: study, features, batch"},
      {"study: a\nrelease: per_bach\n", "study.yaml:2: 'release' is 'per_bach', expected one of: per_batch, pooled"},
      {"release: unspecified\n", "study.yaml:1: 'release' is 'unspecified', expected one of: per_batch, pooled"},
      {"release: 1\n", "study.yaml:1: 'release' is '1', expected one of"},
      {"study: a\nstudy: b\n", "study.yaml:2: key 'study' is there twice"},
      {"method: {combat: {fit_on: {dx: a, dx: b}}}\n", "study.yaml:1: key 'dx' in 'method.combat.fit_on' is there twice"},
      {"min_batch_size: ten\n", "study.yaml:1: 'min_batch_size' is 'ten', expected a whole number, 0 or more"},
      {"min_batch_size: \"10\"\n", "'min_batch_size' is the text '10', expected a whole number"},
      {"min_batch_size: -1\n", "expected a whole number, 0 or more"},
      {"min_batch_size: 10.5\n", "expected a whole number"},
      {"min_batch_size: 99999999999\n", "expected a whole number"},
      {"min_batch_size: [10]\n", "'min_batch_size' is a list, expected a whole number"},
      {"min_batch_size:\n", "'min_batch_size' is empty, expected a whole number"},
      {"method: {combat: {mean_only: yes}}\n", "'method.combat.mean_only' is 'yes', expected true or false"},
      {"study:\n", "study.yaml:1: 'study' is empty, expected text"},
      {"study: {a: b}\n", "'study' is keys and values, expected text"},
      {"study: \"a\\0b\"\n", "expected text"},
      {"covariates: age\n",
       "study.yaml:1: 'covariates' is 'age', expected a list of {name, type, unit, levels}; write [] for none"},
      {"covariates: {name: age}\n", "'covariates' is keys and values, expected a list"},
      {"covariates:\n", "'covariates' is empty, expected a list"},
      {"covariates:\n  - age\n", "study.yaml:2: 'covariates[1]' is 'age', expected keys and values: name, type"},
      {"covariates:\n  - {name: age}\n  -\n", "'covariates[2]' is empty"},
      {"batch: [[a]]\n", "'batch[1]' is a list, expected text"},
      {"batch: {a: b}\n", "'batch' is keys and values, expected a list of text"},
      {"method: combat\n", "study.yaml:1: 'method' is 'combat', expected keys and values: combat"},
      {"method: {combat: {fit_on: control}}\n", "'method.combat.fit_on' is 'control', expected {name: value, ...}"},
      {"method: {combat: {fit_on: {dx: }}}\n", "'method.combat.fit_on.dx' is empty, expected text"},
      {"[a, b]\n", "study.yaml:1: the document is a list, expected keys and values: study"},
      {"just text\n", "the document is 'just text', expected keys"},
      {"study: a\n---\nstudy: b\n", "study.yaml: holds several YAML documents, expected one"},
      {",study: a\n", "study.yaml: holds several YAML documents, expected one"},
      {"study: a\n  batch: b\n", "study.yaml:2: broken YAML"},
      {"study: [a\n", "broken YAML"},
      {"study: !!python/object x\n", "study.yaml:1: tag 'tag:yaml.org,2002:python/object' has no meaning here"},
      {"study: *nobody\n", "broken YAML"},
      {"{[a]: b}\n", "a key is a list, expected plain text"},
      {"<<: {study: a}\n", "unknown key '<<'"},
      {"\xff\xfe\xfa: 1", "study.yaml"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ParseStudy(text),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(StartsWith("study.yaml"), HasSubstr(message))))
        << text;
  }
}

TEST(Yaml, Parse_AliasesWithinReason) {
  v1::StudyConfig config;
  ASSERT_OK(ParseStudy("batch: &b [site]\nfeatures: {table: {columns: *b}}\n", &config));
  EXPECT_THAT(config.features().table().columns(), ElementsAre("site"));
}

TEST(Yaml, Parse_AliasBombAndCycle) {
  std::string bomb = "study: a\ncovariates:\n  - &c {name: x, levels: &l [";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&bomb, i == 0 ? "" : ", ", i);
  bomb += "]}\n";
  for (int i = 0; i < 1000; ++i) bomb += "  - *c\n";
  EXPECT_THAT(ParseStudy(bomb), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expand to more than")));
  EXPECT_THAT(ParseStudy("method: &m {combat: *m}\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("study.yaml")));
  EXPECT_THAT(ParseStudy("batch: &b [*b]\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("study.yaml")));
}

TEST(Yaml, Parse_DeepAndLarge) {
  EXPECT_THAT(ParseStudy("batch: " + std::string(100'000, '[')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("study.yaml")));
  EXPECT_THAT(ParseStudy(std::string((1 << 20) + 1, ' ')), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
}

TEST(Yaml, Parse_EveryPrefixAndByteFlipIsHandled) {
  const std::string text =
      "study: a\nbatch: &b [site, \"x\"]\nmethod: {combat: {fit_on: {dx: 'control'}}}\nfeatures: {table: {columns: *b}}\n";
  for (std::size_t i = 0; i < text.size(); ++i) {
    ParseStudy(text.substr(0, i)).IgnoreError();
    for (const char replacement : {'\0', '\xff', '[', '}', '\n', '&', '\t', '%', '"'}) {
      std::string changed = text;
      changed[i] = replacement;
      ParseStudy(changed).IgnoreError();  // a message or another study, and no crash
    }
  }
}

TEST(Yaml, ReadFile_NamesThePath) {
  const testing::TempFolder folder;
  v1::StudyConfig config;
  const std::string path = folder / "study.yaml";
  EXPECT_THAT(ReadYamlFile(path, &config), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  ASSERT_OK(WriteFileAtomically(path, "study: a\nx: 1\n", FileAccess::kShared));
  EXPECT_THAT(ReadYamlFile(path, &config),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith(path + ":2: unknown key 'x'")));
}

}  // namespace
}  // namespace attune

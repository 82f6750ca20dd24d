// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of combat/1 against what the public pooled implementations (sva 3.46; neuroCombat for missing values and for
// no empirical Bayes) compute from the same people. 1e-10 mm is far below anything measured and far above rounding: observed
// 1e-13.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "attune/v1/config.pb.h"
#include "common/kernel/fold.h"
#include "common/methods/registry.h"
#include "tests/support/data.h"
#include "tests/support/memory_cohort.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

constexpr double kTolerance = 1e-10;

struct GoldenCase {
  std::string name;
  std::function<void(v1::CombatOptions&)> options;
  bool covariates = true;
  std::string input;  // another table than the thickness
  bool two_small_sites = false;
  int min_batch_size = 10;
};

class CombatGolden : public ::testing::TestWithParam<std::tuple<GoldenCase, Release>> {};

TEST_P(CombatGolden, AgreesWithThePooledTools) {
  const auto& [golden, release] = GetParam();
  const auto data = SharedFolder("data/abide");
  const auto expected_folder = SharedFolder("golden");
  if (!data || !expected_folder) GTEST_SKIP() << "no ../shared/data/abide and ../shared/golden beside the project";
  const NaiveTable people = ReadNaive(*data + "/participants.tsv");
  const NaiveTable thickness =
      ReadNaive(golden.input.empty() ? *data + "/thickness.tsv" : *expected_folder + "/" + golden.input);
  const NaiveTable expected = ReadNaive(*expected_folder + "/" + golden.name + ".csv.gz");

  StudyFacts facts;
  facts.features = std::vector<std::string>(thickness.header.begin() + 1, thickness.header.end());
  facts.release = release;
  facts.min_batch_size = golden.min_batch_size;
  if (golden.covariates) {
    facts.covariates.push_back({"age", "years", {}});
    if (!golden.two_small_sites) {
      facts.covariates.push_back({"sex", "", {"F", "M"}});
      facts.covariates.push_back({"dx", "", {"control", "autism"}});
    }
  }
  v1::CombatOptions options;
  golden.options(options);
  facts.options = options.SerializeAsString();

  std::set<std::string> wanted;
  for (const auto& row : expected.rows) wanted.insert(row[0]);
  std::map<std::string, const std::vector<std::string>*> values_of;
  for (const auto& row : thickness.rows) values_of[row[0]] = &row;
  std::vector<Row> rows;
  std::set<BatchId> batches;
  for (const auto& person : people.rows) {
    if (wanted.count(person[0]) == 0) continue;
    Row row{person[0], MakeBatchId(person[people.Column("site")], kOnlyBatchLabel), {}, {}};
    batches.insert(row.batch);
    for (const Covariate& covariate : facts.covariates) {
      const std::string& cell = person[people.Column(covariate.name)];
      row.covariates.push_back(covariate.categorical() ? (cell == covariate.levels[1] ? 1 : 0) : Number(cell));
    }
    const std::vector<std::string>& cells = *values_of.at(person[0]);
    for (std::size_t c = 1; c < cells.size(); ++c) row.values.push_back(Number(cells[c]));
    rows.push_back(row);
  }
  facts.batches.assign(batches.begin(), batches.end());

  const std::map<std::string, MemoryCohort> cohorts = SplitBySite(rows);
  std::map<std::string, const Cohort*> cohort_by_site;
  for (const auto& [site, cohort] : cohorts) cohort_by_site[site] = &cohort;
  const Method& method = *FindMethod("combat/1");
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunInProcess(method, facts, cohort_by_site, 2));

  std::map<std::string, const std::vector<std::string>*> expected_of;
  for (const auto& row : expected.rows) expected_of[row[0]] = &row;
  double largest = 0;
  std::size_t compared = 0;
  std::vector<double> out(facts.features.size());
  for (const Row& row : rows) {
    ASSERT_OK(method.Apply(result.models.at(row.batch), {row.id, row.id, row.batch, true, row.covariates, row.values}, out));
    for (std::size_t f = 0; f < out.size(); ++f) {
      const double want = Number((*expected_of.at(row.id))[f + 1]);
      ASSERT_EQ(std::isnan(want), std::isnan(out[f])) << row.id << " " << facts.features[f];
      if (std::isnan(want)) continue;
      largest = std::max(largest, std::abs(out[f] - want));
      ++compared;
    }
  }
  EXPECT_GT(compared, 20 * facts.features.size());
  EXPECT_LE(largest, kTolerance);
  RecordProperty("largest_difference", std::to_string(largest));
  std::printf("%s: largest difference %.3g over %zu values\n", golden.name.c_str(), largest, compared);
}

const GoldenCase kCases[] = {
    {"abide_parametric", [](v1::CombatOptions&) {}},
    {"abide_nonparametric", [](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONPARAMETRIC); }},
    {"abide_mean_only", [](v1::CombatOptions& o) { o.set_mean_only(true); }},
    {"abide_reference_NYU", [](v1::CombatOptions& o) { o.set_reference_batch("NYU"); }},
    {"abide_no_covariates", [](v1::CombatOptions&) {}, false},
    {"abide_no_eb", [](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); }},
    {"abide_missing", [](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); }, true,
     "abide_missing_input.csv.gz"},
    {"abide_two_small_sites_age", [](v1::CombatOptions&) {}, true, "", true},
};

INSTANTIATE_TEST_SUITE_P(Abide, CombatGolden,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(Release::kPerBatch, Release::kPooled)),
                         [](const auto& param_info) {
                           return std::get<0>(param_info.param).name +
                                  (std::get<1>(param_info.param) == Release::kPooled ? "_pooled" : "_per_batch");
                         });

}  // namespace
}  // namespace attune::testing

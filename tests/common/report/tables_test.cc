// SPDX-License-Identifier: Apache-2.0
#include "common/report/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/report/figures.h"
#include "tests/common/methods/combat_study.h"
#include "tests/common/report/report_study.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

std::vector<std::vector<std::string>> Rows(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  const absl::StatusOr<std::string> text = ReadFile(path);
  EXPECT_OK(text);
  if (!text.ok()) return rows;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    rows.push_back(absl::StrSplit(line, '\t'));
  }
  return rows;
}

TEST(ReportTables, EveryFeatureWithAllDigits) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 51});
    study.facts.release = release;
    const ReportInput input = InputOf(study);
    // With so little room the report lists some only; the table has all.
    ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input, 95000));
    const TempFolder temp;
    ASSERT_OK(WriteReportTables(input, report, temp / "r"));
    const auto rows = Rows(temp / "r.features.tsv");
    ASSERT_EQ(rows.size(), 13u);
    EXPECT_EQ(rows[0][0], "feature");
    EXPECT_EQ(rows[0][3], "before_f");
    const FigureReader reader(input.evidence, input.facts);
    for (std::size_t f = 0; f < 12; ++f) {
      ASSERT_EQ(rows[f + 1].size(), rows[0].size());
      EXPECT_EQ(rows[f + 1][0], study.facts.features[f]);
      EXPECT_EQ(rows[f + 1][3], FormatDouble(reader.F("before.", static_cast<Eigen::Index>(f))));
      EXPECT_EQ(rows[f + 1][4], FormatDouble(reader.NegLog10P("before.", static_cast<Eigen::Index>(f))));
    }
    const auto findings = Rows(temp / "r.findings.tsv");
    EXPECT_EQ(findings.size(), static_cast<std::size_t>(report.findings_size()) + 1);
    const auto outcomes = Rows(temp / "r.outcomes.tsv");
    EXPECT_EQ(outcomes.size(), static_cast<std::size_t>(report.outcomes_size()) + 1);
    for (const std::string& path : ReportTables(temp / "r", release == Release::kPerBatch))
      EXPECT_TRUE(FileExists(path)) << path;
    EXPECT_EQ(FileExists(temp / "r.batches.tsv"), release == Release::kPerBatch);
    EXPECT_EQ(FileExists(temp / "r.corrections.tsv"), release == Release::kPerBatch);
  }
}

TEST(ReportTables, CorrectionsOfEachBatchAndFeatureInDetail) {
  const SyntheticStudy study = MakeSynthetic({.seed = 52});
  const ReportInput input = InputOf(study);
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  const TempFolder temp;
  ASSERT_OK(WriteReportTables(input, report, temp / "r"));
  const auto rows = Rows(temp / "r.corrections.tsv");
  ASSERT_EQ(rows.size(), 1 + 12 * study.facts.batches.size());
  EXPECT_EQ(rows[1][0], "feature0");
  EXPECT_EQ(rows[1][1], study.facts.batches[0]);
  EXPECT_EQ(rows[2][1], study.facts.batches[1]);
  EXPECT_EQ(rows[1][3], FormatDouble(input.corrections.at(study.facts.batches[0])["gamma"](0, 0)));
  const auto batches = Rows(temp / "r.batches.tsv");
  ASSERT_EQ(batches.size(), study.facts.batches.size() + 1);
  for (const auto& row : batches) EXPECT_EQ(row.size(), batches[0].size());
  for (const Row& person : study.rows) {
    for (const auto& row : batches) EXPECT_THAT(row, ::testing::Not(::testing::Contains(person.id)));
  }
}

}  // namespace
}  // namespace attune::testing

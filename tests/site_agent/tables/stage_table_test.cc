// SPDX-License-Identifier: Apache-2.0
//
// The table, written again, byte by byte; and a real one.
#include <filesystem>
#include <limits>

#include "common/base/files.h"
#include "tests/site_agent/tables/site_data_fixture.h"
#include "tests/support/data.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using StageTable = SiteDataTest;

TEST_F(StageTable, ChangedCellsHave17Digits) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(Written(*data, 0.1),
            "participant_id\tx\ty\nsub-1\t1.2000000000000002\t2.1000000000000001\n"
            "sub-2\t3.1000000000000001\t4.0999999999999996\nsub-3\t5.0999999999999996\t6.0999999999999996\n");
}

TEST_F(StageTable, UnchangedCellsKeepTheirText) {
  Features("participant_id\tx\ty\nsub-3\t+5.0\t 6 \nsub-1\t1.10\t2e0\nsub-2\t0003\t4.\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(Written(*data, 0), "participant_id\tx\ty\nsub-3\t+5.0\t6\nsub-1\t1.10\t2e0\nsub-2\t0003\t4.\n");
}

TEST_F(StageTable, OtherColumnsStay) {
  Features("note\tparticipant_id\tx\tzero\nfine\tsub-1\t1\tn/a\n\"a\tb\"\tsub-2\t2\tNA\n\tsub-3\t3\t\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(Written(*data, 1), "note\tparticipant_id\tx\tzero\nfine\tsub-1\t2\tn/a\n\"a\tb\"\tsub-2\t3\tNA\n\tsub-3\t4\t\n");
}

TEST_F(StageTable, MissingValuesAreNa) {
  AllowMissing();
  Features("participant_id\tx\ty\nsub-1\t1\tNaN\nsub-2\t\t4\nsub-3\t5\tNA\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(Written(*data, 1), "participant_id\tx\ty\nsub-1\t2\tn/a\nsub-2\tn/a\t5\nsub-3\t6\tn/a\n");
}

TEST_F(StageTable, KeepsTheSitesNamesAndUnits) {
  Map(R"(name: "mm" column: "x" multiply_by: 10)");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(Written(*data, 5), "participant_id\tx\ty\nsub-1\t1.6000000000000001\t7\nsub-2\t3.5\t9\nsub-3\t5.5\t11\n");
}

TEST_F(StageTable, AppliesInTheOrderOfRows) {
  Features("participant_id\tx\nsub-3\t5\nsub-1\t1\nsub-2\t3\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  std::vector<std::string> ids;
  ASSERT_OK(Write(*data, [&](const Subject& subject, std::span<double> out) {
    ids.push_back(subject.id);
    out[0] = subject.values[0];
    return absl::OkStatus();
  }));
  EXPECT_THAT(ids, ElementsAre("sub-3", "sub-1", "sub-2"));
}

TEST_F(StageTable, AnErrorLeavesNothing) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Write(*data, [](const Subject&, std::span<double>) { return absl::InternalError("no"); }),
              StatusIs(absl::StatusCode::kInternal, "no"));
  EXPECT_THAT(Write(*data,
                    [](const Subject&, std::span<double> out) {
                      for (double& value : out) value = std::numeric_limits<double>::infinity();
                      return absl::OkStatus();
                    }),
              StatusIs(kInvalid, AllOf(HasSubstr("'x' of 'sub-1'"), HasSubstr("not a finite number"))));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("out.tsv")));
  }
}

TEST_F(StageTable, ChangedInputIsNoticed) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  Features("participant_id\tx\ty\nsub-1\t9\t9\nsub-2\t9\t9\nsub-3\t9\t9\nsub-4\t9\t9\n");
  EXPECT_THAT(data->ForEach([](const Subject&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("changed")));
}

TEST_F(StageTable, RealTable) {
  const auto abide = testing::SharedFolder("data/abide");
  if (!abide.has_value()) GTEST_SKIP() << "no ../shared/data/abide beside the project and no ATTUNE_TEST_DATA";
  options_.folder = *abide;
  site_.set_features(0, "thickness.tsv");
  study_.set_batch(0, "site");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(data->features().size(), 68u);
  EXPECT_EQ(data->batches().size(), 20u);
  EXPECT_EQ(Subjects(*data).size(), 1035u);
  ASSERT_OK_AND_ASSIGN(const std::string original, ReadFile(*abide + "/thickness.tsv"));
  EXPECT_EQ(Written(*data, 0), original);
}

}  // namespace
}  // namespace attune

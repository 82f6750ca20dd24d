// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class SplitTest : public ::testing::Test {
 protected:
  SplitTest() {
    People("participant_id\tsite\tage\nsub-1\tb\t30\nsub-2\ta\t40\nsub-3\tb\t50\n");
    Features("participant_id\tx\nsub-3\t3\nsub-1\t1\nsub-2\t2\n");
  }
  void People(const std::string& text) { data_.participants = folder_.Write("participants.tsv", text); }
  void Features(const std::string& text) { data_.features = {folder_.Write("features.tsv", text)}; }
  absl::StatusOr<std::vector<std::string>> Split() { return SplitBySite(data_, folder_ / "sites"); }

  TempFolder folder_;
  DataSet data_;
};

TEST_F(SplitTest, Split_EachSiteItsOwnRows) {
  EXPECT_THAT(*Split(), ElementsAre("a", "b"));
  EXPECT_EQ(folder_.Read("sites/a/participants.tsv"), "participant_id\tsite\tage\nsub-2\ta\t40\n");
  EXPECT_EQ(folder_.Read("sites/b/features-1.tsv"), "participant_id\tx\nsub-3\t3\nsub-1\t1\n");
  struct stat info = {};
  ASSERT_EQ(::stat((folder_ / "sites/b/features-1.tsv").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat((folder_ / "sites/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(SplitTest, Split_AnotherSiteColumn) {
  People("participant_id\tsite\thospital\nsub-1\t1\tnord\nsub-2\t1\tnord\nsub-3\t2\tsud\n");
  data_.site_column = "hospital";
  EXPECT_THAT(*Split(), ElementsAre("nord", "sud"));
  data_.site_column = "hospitals";
  EXPECT_THAT(Split(), StatusIs(kInvalid, AllOf(HasSubstr("--site-column"), HasSubstr("did you mean 'hospital'"))));
}

TEST_F(SplitTest, Split_NameThatIsNone) {
  for (const char* name : {"", "../b", "two words", "n/a"}) {
    People(std::string("participant_id\tsite\nsub-1\ta\nsub-2\t") + name + "\nsub-3\tb\n");
    EXPECT_THAT(Split(), StatusIs(kInvalid, HasSubstr("participants.tsv:3: column 'site'"))) << name;
  }
}

TEST_F(SplitTest, Split_PersonTwice) {
  People("participant_id\tsite\nsub-1\ta\nsub-2\ta\nsub-1\tb\n");
  EXPECT_THAT(Split(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:4"), HasSubstr("'sub-1'"))));
}

TEST_F(SplitTest, Split_RowOfNobody) {
  Features("participant_id\tx\nsub-1\t1\nsub-9\t2\n");
  EXPECT_THAT(Split(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv:3"), HasSubstr("'sub-9'"))));
}

TEST_F(SplitTest, Split_HarmonizedTable) {
  folder_.Write("features.json", R"({"harmonization_applied": true, "study": "s"})");
  EXPECT_THAT(Split(), StatusIs(kInvalid, AllOf(HasSubstr("harmonized already, in the study 's'"), HasSubstr("--force"))));
  data_.allow_harmonized_input = true;
  EXPECT_OK(Split());
}

TEST_F(SplitTest, Join_IsTheOrderOfTheFirstTable) {
  ASSERT_OK(Split());
  const std::map<std::string, std::string> tables = {{"a", folder_ / "sites/a/features-1.tsv"},
                                                     {"b", folder_ / "sites/b/features-1.tsv"}};
  ASSERT_OK(JoinSites(data_, tables, folder_ / "joined.tsv"));
  EXPECT_EQ(folder_.Read("joined.tsv"), folder_.Read("features.tsv"));
  EXPECT_THAT(JoinSites(data_, {{"a", tables.at("a")}}, folder_ / "joined.tsv"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("no site returned")));
}

}  // namespace
}  // namespace attune

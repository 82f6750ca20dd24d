// SPDX-License-Identifier: Apache-2.0
//
// The features' tables: the join, which columns are features, and what their cells may hold.
#include <cmath>

#include "tests/site_agent/tables/site_data_fixture.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using FeatureRules = SiteDataTest;

TEST_F(FeatureRules, Join_SeveralTables) {
  site_.add_features("more.csv");
  folder_.Write("more.csv", "z,participant_id,w\n30,sub-3,q\n10,sub-1,q\n20,sub-2,q\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("x", "y", "z"));
  EXPECT_THAT(Subjects(*data), ElementsAre("sub-1 north/A fit | 10.5 0 | 1.1 2 10", "sub-2 north/A fit | 20 1 | 3 4 20",
                                           "sub-3 north/B fit | 30 0 | 5 6 30"));
  EXPECT_EQ(data->inputs().size(), 3u);
}

TEST_F(FeatureRules, Join_IdTwice) {
  Features("participant_id\tx\nsub-1\t1\nsub-2\t2\nsub-2\t2\nsub-3\t3\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv:4: column 'participant_id': 'sub-2' is in line 3"))));
}

TEST_F(FeatureRules, Join_IdMissing) {
  Features("participant_id\tx\nsub-1\t1\n\t2\nsub-3\t3\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("features.tsv:3: column 'participant_id': the row has no id")));
}

TEST_F(FeatureRules, Join_IdsOnlyInFeatures) {
  Features("participant_id\tx\nsub-1\t1\nsub-2\t2\nsub-3\t2\nsub-8\t3\nsub-9\t3\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv:5: column 'participant_id': 2 ids are not in"),
                                                HasSubstr("participants.tsv"), HasSubstr("sub-8 (line 5), sub-9 (line 6)"))));
}

TEST_F(FeatureRules, Join_IdsOnlyInParticipants) {
  Features("participant_id\tx\nsub-1\t1\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv: column 'participant_id': lacks 2 ids of"),
                                                HasSubstr("sub-2, sub-3"))));
}

TEST_F(FeatureRules, Join_NoIdColumn) {
  Features("id\tx\nsub-1\t1\n");
  EXPECT_THAT(Error(), StatusIs(kNotFound, HasSubstr("features.tsv:1: no column 'participant_id'")));
}

TEST_F(FeatureRules, Join_SameColumnInTwoTables) {
  site_.add_features("more.tsv");
  folder_.Write("more.tsv", "participant_id\ty\nsub-1\t1\nsub-2\t1\nsub-3\t1\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("more.tsv:1: the column 'y' is in"), HasSubstr("features.tsv"))));
}

TEST_F(FeatureRules, Star_SkipsTextAndWhatTheStudyUses) {
  Features("participant_id\tage\tx\tcomment\tempty\nsub-1\t1\t1\tgood\tn/a\nsub-2\t2\t2\tNA\tn/a\nsub-3\t3\t3\t\tn/a\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("x"));
  EXPECT_THAT(data->notes(), ElementsAre(HasSubstr("set aside, kept as they are: age"),
                                         HasSubstr("no numbers in these columns, kept as they are: comment, empty")));
}

TEST_F(FeatureRules, Star_NoNumbersAtAll) {
  Features("participant_id\tx\nsub-1\ta\nsub-2\tb\nsub-3\tc\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("no numeric column of the tables matches '*'")));
}

TEST_F(FeatureRules, Patterns_OrderOfTheTable) {
  Patterns({"y", "x*"});
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("x", "y"));
}

TEST_F(FeatureRules, Patterns_Glob) {
  Patterns({"?"});
  Features("participant_id\tx\txx\nsub-1\t1\t1\nsub-2\t2\t1\nsub-3\t3\tbad\n");  // xx is not looked at
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("x"));
}

TEST_F(FeatureRules, Patterns_NameThatNoColumnHas) {
  Patterns({"x", "Y"});
  EXPECT_THAT(Error(), StatusIs(kNotFound, AllOf(HasSubstr("no table has the column 'Y'"), HasSubstr("did you mean 'y'?"))));
}

TEST_F(FeatureRules, Patterns_GlobThatMatchesNothing) {
  Patterns({"x", "rh_*"});
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("no numeric column of the tables matches 'rh_*'")));
}

TEST_F(FeatureRules, Features_FrozenListGivesTheOrder) {
  options_.features = {"y", "x"};
  Features("participant_id\tx\textra\ty\nsub-1\t1\tbad\t2\nsub-2\t3\t3\t4\nsub-3\t5\t3\t6\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("y", "x"));
  EXPECT_THAT(Subjects(*data)[0], HasSubstr("| 2 1"));
}

TEST_F(FeatureRules, Features_FrozenListIsNoPattern) {
  options_.features = {"*"};
  EXPECT_THAT(Error(), StatusIs(kNotFound, HasSubstr("no table has the column '*'")));
}

TEST_F(FeatureRules, Features_Absent) {
  options_.features = {"x", "v", "w"};
  EXPECT_THAT(Error(), StatusIs(kNotFound, AllOf(HasSubstr("'v'"), HasSubstr("2 are absent: v, w"))));
}

TEST_F(FeatureRules, Cells_TextAmongNumbers) {
  Features("participant_id\tx\ty\nsub-1\t1\t2\nsub-2\tabc\t4\nsub-3\t5\toops\n");
  EXPECT_THAT(
      Error(),
      StatusIs(kInvalid, HasSubstr("features.tsv:3: column 'x': 'abc' is not a number, but other cells of the column are")));
}

TEST_F(FeatureRules, Cells_Infinite) {
  for (const char* cell : {"inf", "-Inf", "+INFINITY"}) {
    Features(absl::StrCat("participant_id\tx\nsub-1\t1\nsub-2\t2\nsub-3\t", cell, "\n"));
    EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv:4: column 'x'"), HasSubstr("infinite")))) << cell;
  }
  Features("participant_id\tx\nsub-1\tinf\nsub-2\tinf\nsub-3\tinf\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("infinite")));
}

TEST_F(FeatureRules, Cells_TooLargeForADouble) {
  Features("participant_id\tx\nsub-1\t1e999\nsub-2\t2\nsub-3\t3\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("'1e999' is not a number")));
}

TEST_F(FeatureRules, Cells_DecimalComma) {
  folder_.Write("f.csv", "participant_id;x\nsub-1;1,5\nsub-2;2,5\nsub-3;2,5\n");
  site_.set_features(0, "f.csv");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("f.csv:2: column 'x': '1,5'"), HasSubstr("decimal point"))));
}

TEST_F(FeatureRules, Cells_TextInANamedColumn) {
  Patterns({"x", "y"});
  Features("participant_id\tx\ty\nsub-1\t1\tgood\nsub-2\t2\tbad\nsub-3\t5\tn/a\n");
  EXPECT_THAT(
      Error(),
      StatusIs(kInvalid,
               HasSubstr("features.tsv:2: column 'y': 'good' is not a number, but the study uses the column as a feature")));
}

TEST_F(FeatureRules, Missing_NotAllowed) {
  Features("participant_id\tx\ty\nsub-1\t1\t2\nsub-2\t3\tn/a\nsub-3\t5\t6\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv:3: column 'y': the value is missing"),
                                                HasSubstr("missing: allow"))));
}

TEST_F(FeatureRules, Missing_AllowedOrApplied) {
  Features("participant_id\tx\ty\nsub-1\t1\t2\nsub-2\t\tNaN\nsub-3\t5\tNA\n");
  AllowMissing();
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  int missing = 0;
  ASSERT_OK(data->ForEach([&](const Subject& subject) {
    for (const double value : subject.values) missing += std::isnan(value) ? 1 : 0;
    return absl::OkStatus();
  }));
  EXPECT_EQ(missing, 3);
  study_.mutable_method()->mutable_combat()->clear_missing();
  options_.for_apply = true;
  EXPECT_OK(Error());
}

TEST_F(FeatureRules, Missing_WholeColumn) {
  AllowMissing();
  Features("participant_id\tx\ty\nsub-1\t1\t\nsub-2\t3\tn/a\nsub-3\t5\tNA\n");
  {
    ASSERT_OK_AND_ASSIGN(const auto data, Open());
    EXPECT_THAT(data->features().names(), ElementsAre("x"));
  }
  Patterns({"*", "y"});
  {
    ASSERT_OK_AND_ASSIGN(const auto data, Open());
    EXPECT_THAT(data->features().names(), ElementsAre("x", "y"));
  }
  Patterns({"*"});
  options_.features = {"x", "y"};
  EXPECT_OK(Error());
}

TEST_F(FeatureRules, Mapping_RenamesAndConverts) {
  Map(R"(name: "thickness" column: "y" multiply_by: 0.5)");
  Patterns({"thickness", "x"});
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("x", "thickness"));
  EXPECT_THAT(Subjects(*data)[2], HasSubstr("| 5 3"));
  EXPECT_THAT(data->notes(), Contains(HasSubstr("'y' is the study's 'thickness'")));
}

TEST_F(FeatureRules, Mapping_Mistakes) {
  const v1::SiteConfig good = site_;
  Map(R"(name: "a" column: "z")");
  EXPECT_THAT(Error(), StatusIs(kNotFound, AllOf(HasSubstr("'a' is mapped to the column 'z'"), HasSubstr("no table has"))));
  site_ = good;
  Map(R"(name: "a" column: "x")");
  Map(R"(name: "b" column: "x")");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("both mapped to the column 'x'")));
  site_ = good;
  Map(R"(name: "y" column: "x")");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("both 'y' in the study's terms")));
}

TEST_F(FeatureRules, Sidecar_RefusesHarmonizedInput) {
  folder_.Write("features.json", R"({"harmonization_applied": true, "study": "abide-thickness"})");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("features.tsv: was harmonized already"),
                                                HasSubstr("'abide-thickness'"), HasSubstr("--force"))));
  options_.allow_harmonized_input = true;
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->notes(), Contains(HasSubstr("harmonized already")));
}

TEST_F(FeatureRules, Sidecar_OfGzippedTable) {
  site_.set_features(0, "f.csv.gz");
  folder_.Write("f.json", R"({"harmonization_applied": true})");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("f.csv.gz: was harmonized already")));
}

TEST_F(FeatureRules, Sidecar_OfOthers) {
  for (const char* text : {R"({"age": {"Units": "years"}})", R"({"harmonization_applied": false})", "{broken", "[1]", "",
                           R"({"harmonization_applied": "yes"})"}) {
    folder_.Write("participants.json", text);
    EXPECT_OK(Error()) << text;
  }
  folder_.Write("participants.json", R"({"harmonization_applied": true, "study": "s"})");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("participants.tsv: was harmonized already")));
}

}  // namespace
}  // namespace attune

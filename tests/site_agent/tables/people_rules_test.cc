// SPDX-License-Identifier: Apache-2.0
//
// participants.tsv in the study's terms: batches, covariates, codes and units, who is estimated on.
#include "common/base/digest.h"
#include "tests/site_agent/tables/site_data_fixture.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using People = SiteDataTest;

TEST_F(People, Open_OrderOfIdsAndDesign) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data), ElementsAre("sub-1 north/A fit | 10.5 0 | 1.1 2", "sub-2 north/A fit | 20 1 | 3 4",
                                           "sub-3 north/B fit | 30 0 | 5 6"));
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 2 2 0", "north/B 1 1 0"));
  EXPECT_THAT(data->features().names(), ElementsAre("x", "y"));
  EXPECT_THAT(data->notes(), ElementsAre());
}

TEST_F(People, Open_IdsSortByBytes) {
  Participants("participant_id\tscanner\tage\tsex\nsub-10\tA\t1\tM\nsub-9\tA\t1\tF\nsub-Z\tA\t3\tF\n");
  Features("participant_id\tx\nsub-Z\t1\nsub-9\t2\nsub-10\t3\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data),
              ElementsAre("sub-10 north/A fit | 1 1 | 3", "sub-9 north/A fit | 1 0 | 2", "sub-Z north/A fit | 3 0 | 1"));
}

TEST_F(People, Open_DigestsOfTheFiles) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  ASSERT_EQ(data->inputs().size(), 2u);
  EXPECT_EQ(data->inputs()[0].file(), "participants.tsv");
  EXPECT_EQ(data->inputs()[0].sha256(), Sha256Hex(folder_.Read("participants.tsv")));
  EXPECT_EQ(data->inputs()[1].file(), "features.tsv");
  EXPECT_EQ(data->inputs()[1].sha256(), Sha256Hex(folder_.Read("features.tsv")));
}

TEST_F(People, ForEach_StopsAtTheFirstError) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  int calls = 0;
  const absl::Status status = data->ForEach([&](const Subject&) {
    ++calls;
    return absl::FailedPreconditionError("enough");
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("enough")));
  EXPECT_EQ(calls, 1);
}

TEST_F(People, Open_NoTablesNamed) {
  site_.clear_participants();
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("participants")));
}

TEST_F(People, Open_NoSuchFile) {
  site_.set_participants("none.tsv");
  EXPECT_THAT(Error(), StatusIs(kNotFound, HasSubstr("none.tsv")));
}

TEST_F(People, Open_NoRows) {
  Participants("participant_id\tscanner\tage\tsex\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("participants.tsv: no rows")));
}

TEST_F(People, Id_ColumnOfAnotherName) {
  site_.set_id_column("SubjID");
  Participants("age\tSubjID\tscanner\tsex\n1\ta\tA\tF\n");
  Features("x\tSubjID\n5\ta\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data), ElementsAre("a north/A fit | 1 0 | 5"));
}

TEST_F(People, Id_NoColumn) {
  Participants("Participant_ID\tscanner\tage\tsex\nsub-1\tA\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kNotFound, AllOf(HasSubstr("participants.tsv:1: no column 'participant_id'"),
                                                 HasSubstr("did you mean 'Participant_ID'?"))));
}

TEST_F(People, Id_Twice) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tF\nsub-2\tA\t1\tF\nsub-1\tA\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:4"), HasSubstr("'sub-1' is in line 2"))));
}

TEST_F(People, Id_Missing) {
  Participants("participant_id\tscanner\tage\tsex\nn/a\tA\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("participants.tsv:2: column 'participant_id': the row has no id")));
}

TEST_F(People, Batch_NoColumn) {
  study_.clear_batch();
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/all 3 3 0"));
}

TEST_F(People, Batch_SeveralColumnsAndCodes) {
  study_.add_batch("coil");
  Map(R"(name: "coil" column: "c" codes { key: "1" value: "8ch" } codes { key: "2" value: "32 ch" })");
  Participants("participant_id\tscanner\tage\tsex\tc\nsub-1\tA\t1\tF\t1\nsub-2\tA\t1\tF\t2\nsub-3\tA\t1\tM\t1\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A_32 ch 1 1 0", "north/A_8ch 2 2 0"));
}

TEST_F(People, Batch_Missing) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tF\nsub-2\tn/a\t1\tF\nsub-3\tA\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("participants.tsv:3: column 'scanner': the value is missing")));
}

TEST_F(People, Batch_CharactersOfLabels) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA/B\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:2: column 'scanner': 'A/B'"), HasSubstr("batch"))));
  Participants("participant_id\tscanner\tage\tsex\nsub-1\t\"A\tB\"\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("control character")));
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tZ\xFCrich\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("not UTF-8")));
}

TEST_F(People, Batch_TwoOfOneName) {
  study_.add_batch("coil");
  Participants("participant_id\tscanner\tage\tsex\tcoil\nsub-1\ta_b\t1\tF\tc\nsub-2\ta\t1\tF\tb_c\nsub-3\ta\t1\tF\tx\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:3"), HasSubstr("the same name 'a_b_c'"))));
}

TEST_F(People, Batch_NoSuchColumn) {
  study_.set_batch(0, "scaner");
  EXPECT_THAT(Error(),
              StatusIs(kNotFound, AllOf(HasSubstr("no column 'scaner'"), HasSubstr("as the batch"), HasSubstr("'scanner'"))));
}

TEST_F(People, Covariate_NoSuchColumn) {
  Participants("participant_id\tscanner\tAge\tsex\nsub-1\tA\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kNotFound,
                                AllOf(HasSubstr("no column 'age'"), HasSubstr("did you mean 'Age'?"), HasSubstr("site.yaml"))));
}

TEST_F(People, Covariate_MappedAndConverted) {
  Map(R"(name: "age" column: "months" multiply_by: 0.5)");
  Map(R"(name: "sex" column: "gender" codes { key: "1" value: "M" } codes { key: "2" value: "F" })");
  Participants("participant_id\tscanner\tmonths\tgender\nsub-1\tA\t12\t1\nsub-2\tA\t+2e1\t2\nsub-3\tB\t3\t1\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data), ElementsAre("sub-1 north/A fit | 6 1 | 1.1 2", "sub-2 north/A fit | 10 0 | 3 4",
                                           "sub-3 north/B fit | 1.5 1 | 5 6"));
}

TEST_F(People, Covariate_ThreeLevels) {
  study_.mutable_covariates(1)->add_levels("X");
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tX\nsub-2\tA\t2\tM\nsub-3\tB\t3\tF\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data), ElementsAre("sub-1 north/A fit | 1 0 1 | 1.1 2", "sub-2 north/A fit | 2 1 0 | 3 4",
                                           "sub-3 north/B fit | 3 0 0 | 5 6"));
}

TEST_F(People, Covariate_NotANumber) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t10\tF\nsub-2\tA\tten\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:3: column 'age': 'ten' is not a finite number"),
                                                HasSubstr("in years"))));
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\tinf\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("'inf' is not a finite number")));
}

TEST_F(People, Covariate_UndeclaredLevel) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tother\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:2: column 'sex': 'other' is no level"),
                                                HasSubstr("F, M"), HasSubstr("site.yaml"))));
}

TEST_F(People, Covariate_LevelInAnotherCase) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tm\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("did you mean 'M'?")));
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\t\" F\"\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("did you mean 'F'?")));
}

TEST_F(People, Covariate_NumericCodesAreNeverGuessed) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\t1\nsub-2\tA\t1\t2\nsub-3\tA\t1\t1\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("'1' is no level"), HasSubstr("never guessed"))));
}

TEST_F(People, Codes_NotListed) {
  Map(R"(name: "sex" codes { key: "1" value: "M" })");
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\t2\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:2: column 'sex': '2' is not among the codes"),
                                                HasSubstr("(1: M)"))));
}

TEST_F(People, Codes_OneThatLooksMissing) {
  Map(R"(name: "sex" codes { key: "NA" value: "M" } codes { key: "f" value: "F" })");
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tNA\nsub-2\tA\t1\tf\nsub-3\tA\t1\tf\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data)[0], HasSubstr("| 1 1 |"));
}

TEST_F(People, Mapping_Mistakes) {
  const v1::SiteConfig good = site_;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(column: "x")", "has no name"},
      {R"(name: "sex" codes { key: "1" value: "male" })", "'male', which is no level"},
      {R"(name: "age" codes { key: "1" value: "2" })", "has codes, which are for labels"},
      {R"(name: "sex" multiply_by: 2)", "has multiply_by, which is for numbers"},
      {R"(name: "scanner" multiply_by: 2)", "has multiply_by, which is for numbers"},
      {R"(name: "age" multiply_by: 0)", "is 0 or not finite"},
      {R"(name: "age" multiply_by: inf)", "is 0 or not finite"},
      {R"(name: "x" codes { key: "1" value: "2" })", "has codes, which are for labels"},
      {R"(name: "age" column: "years")", "no column 'years'"},
  };
  for (const auto& [mapping, message] : cases) {
    site_ = good;
    Map(mapping);
    EXPECT_THAT(std::string(Error().message()), HasSubstr(message)) << mapping;
  }
  site_ = good;
  Map(R"(name: "age")");
  Map(R"(name: "age" column: "x")");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("'age' is mapped twice")));
}

TEST_F(People, Mapping_OfAnotherStudyIsFine) {
  Map(R"(name: "gender" column: "sex" codes { key: "F" value: "w" })");
  EXPECT_OK(Error());
}

TEST_F(People, Missing_Error) {
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tF\nsub-2\tA\tn/a\tF\nsub-3\tB\t1\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("participants.tsv:3: column 'age': the value is missing"),
                                                HasSubstr("missing_covariates: exclude"))));
}

TEST_F(People, Missing_Exclude) {
  study_.set_missing_covariates(v1::MISSING_COVARIATES_EXCLUDE);
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tNA\nsub-2\tA\t2\tF\nsub-3\tB\t3\tF\n");
  Features("participant_id\tx\ty\nsub-1\t\t2\nsub-2\t3\t4\nsub-3\t5\t6\n");  // what an excluded row misses is no error
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 1 1 1", "north/B 1 1 0"));
  EXPECT_THAT(Subjects(*data), ElementsAre("sub-2 north/A fit | 2 0 | 3 4", "sub-3 north/B fit | 3 0 | 5 6"));
  EXPECT_EQ(Written(*data),
            "participant_id\tx\ty\nsub-1\tn/a\tn/a\nsub-2\t3.1000000000000001\t4.0999999999999996\n"
            "sub-3\t5.0999999999999996\t6.0999999999999996\n");
}

TEST_F(People, Missing_ExcludesAWholeBatch) {
  study_.set_missing_covariates(v1::MISSING_COVARIATES_EXCLUDE);
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t1\tF\nsub-2\tA\t2\tF\nsub-3\tB\t\tF\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("every row of the batch 'north/B'")));
  options_.for_apply = true;
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 2 2 0", "north/B 0 0 1"));
}

TEST_F(People, Missing_ExcludeStillRefusesWrongCells) {
  study_.set_missing_covariates(v1::MISSING_COVARIATES_EXCLUDE);
  Participants("participant_id\tscanner\tage\tsex\nsub-1\tA\t\tmale\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("'male' is no level")));
}

TEST_F(People, FitOn_ThroughCodesAndMissing) {
  FitOn("dx", "control");
  Map(R"(name: "dx" column: "group" codes { key: "0" value: "control" } codes { key: "1" value: "case" })");
  Participants("participant_id\tscanner\tage\tsex\tgroup\nsub-1\tA\t1\tF\t0\nsub-2\tA\t2\tF\tn/a\nsub-3\tA\t3\tF\t1\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 3 1 0"));
  EXPECT_THAT(Subjects(*data),
              ElementsAre("sub-1 north/A fit | 1 0 | 1.1 2", "sub-2 north/A | 2 0 | 3 4", "sub-3 north/A | 3 0 | 5 6"));
}

TEST_F(People, FitOn_AllConditionsMustHold) {
  FitOn("dx", "control");
  FitOn("visit", "1");
  Participants(
      "participant_id\tscanner\tage\tsex\tdx\tvisit\nsub-1\tA\t1\tF\tcontrol\t1\nsub-2\tA\t2\tF\tcontrol\t2\nsub-"
      "3\tA\t3\tF\tcase\t1\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 3 1 0"));
}

TEST_F(People, FitOn_NobodyOfABatch) {
  FitOn("dx", "control");
  Participants(
      "participant_id\tscanner\tage\tsex\tdx\nsub-1\tA\t1\tF\tcontrol\nsub-2\tB\t2\tF\tControl\nsub-3\tB\t3\tF\tcase\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("batch 'north/B'"), HasSubstr("dx: control"),
                                                HasSubstr("dx: Control, dx: case"))));
}

TEST_F(People, FitOn_ColumnNeededUnlessApplied) {
  FitOn("dx", "control");
  EXPECT_THAT(Error(), StatusIs(kNotFound, HasSubstr("no column 'dx', which the study needs as fit_on")));
  Map(R"(name: "dx" column: "group")");
  options_.for_apply = true;
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Counts(*data), ElementsAre("north/A 2 2 0", "north/B 1 1 0"));
}

TEST_F(People, Open_NoCovariates) {
  study_.clear_covariates();
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data)[0], HasSubstr("sub-1 north/A fit |  | 1.1 2"));
}

}  // namespace
}  // namespace attune

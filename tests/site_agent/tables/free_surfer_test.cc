// SPDX-License-Identifier: Apache-2.0
//
// Tables as aparcstats2table and asegstats2table write them.
#include "tests/site_agent/tables/site_data_fixture.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FreeSurfer : public SiteDataTest {
 protected:
  FreeSurfer() {
    site_.clear_features();
    site_.add_features("lh.txt");
    site_.add_features("rh.txt");
    folder_.Write(
        "lh.txt",
        "lh.aparc.thickness\tlh_cuneus_thickness\tlh_MeanThickness_thickness\tBrainSegVolNotVent\teTIV\n"
        "/data/subjects/sub-2/\t2.1\t2.5\t1000\t1500\nsub-1\t1.9\t2.4\t1100\t1600\nsubjects/sub-3\t2.0\t2.3\t1200\t1700\n");
    folder_.Write("rh.txt",
                  "rh.aparc.thickness\trh_cuneus_thickness\trh_MeanThickness_thickness\tBrainSegVolNotVent\teTIV\n"
                  "sub-1\t1.8\t2.2\t1100\t1600\nsub-2\t2.2\t2.6\t1000\t1500\nsub-3\t2.3\t2.7\t1200\t1700\n");
  }
};

TEST_F(FreeSurfer, Merge_LeftAndRight) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("lh_cuneus_thickness", "lh_MeanThickness_thickness", "rh_cuneus_thickness",
                                                    "rh_MeanThickness_thickness"));
  EXPECT_THAT(Subjects(*data),
              ElementsAre("sub-1 north/A fit | 10.5 0 | 1.9 2.4 1.8 2.2", "sub-2 north/A fit | 20 1 | 2.1 2.5 2.2 2.6",
                          "sub-3 north/B fit | 30 0 | 2 2.3 2.3 2.7"));
  EXPECT_THAT(data->notes(), Contains(AllOf(HasSubstr("lh.txt: a table of FreeSurfer"), HasSubstr("lh.aparc.thickness"))));
  EXPECT_THAT(data->notes(), Contains(HasSubstr("ids of 2 rows are the last part of a path")));
  EXPECT_THAT(data->notes(), Contains(HasSubstr("set aside, kept as they are: BrainSegVolNotVent, eTIV")));
  EXPECT_THAT(data->notes(), Contains(HasSubstr("kept once: BrainSegVolNotVent, eTIV")));
}

TEST_F(FreeSurfer, Merge_WrittenAgain) {
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_EQ(
      Written(*data, 0),
      "lh.aparc.thickness\tlh_cuneus_thickness\tlh_MeanThickness_thickness\tBrainSegVolNotVent\teTIV\trh_cuneus_thickness\t"
      "rh_MeanThickness_thickness\n"
      "/data/subjects/sub-2/\t2.1\t2.5\t1000\t1500\t2.2\t2.6\nsub-1\t1.9\t2.4\t1100\t1600\t1.8\t2.2\n"
      "subjects/sub-3\t2.0\t2.3\t1200\t1700\t2.3\t2.7\n");
}

TEST_F(FreeSurfer, Merge_TablesOfDifferentRuns) {
  folder_.Write("rh.txt",
                "rh.aparc.thickness\trh_cuneus_thickness\teTIV\nsub-1\t1.8\t1600\nsub-2\t2.2\t1501\nsub-3\t2.3\t1700\n");
  EXPECT_THAT(Error(),
              StatusIs(kInvalid, AllOf(HasSubstr("rh.txt:3: column 'eTIV': '1501', but '1500' in"), HasSubstr("lh.txt:2"))));
}

TEST_F(FreeSurfer, WholeHead_NamedByTheStudy) {
  Patterns({"lh_*", "eTIV"});
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("lh_cuneus_thickness", "lh_MeanThickness_thickness", "eTIV"));
}

TEST_F(FreeSurfer, WholeHead_NotUnderAGlob) {
  Patterns({"eTI*"});
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("matches 'eTI*'")));
}

TEST_F(FreeSurfer, Id_WithoutPrefix) {
  site_.mutable_features()->RemoveLast();
  folder_.Write("lh.txt", "lh.aparc.a2009s.area\tlh_a_area\n2\t1\nfs/1/\t2\nsub-3\t3\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(Subjects(*data)[0], HasSubstr("sub-1 north/A fit | 10.5 0 | 2"));
  EXPECT_THAT(data->notes(), Contains(HasSubstr("ids of 2 rows were matched with 'sub-' before them")));
}

TEST_F(FreeSurfer, Id_TwiceUnderTwoNames) {
  site_.mutable_features()->RemoveLast();
  folder_.Write("lh.txt", "lh.aparc.area\tlh_a_area\nsub-1\t1\nfs/1\t2\nsub-2\t3\nsub-3\t3\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("'sub-1' is in line 2")));
}

TEST_F(FreeSurfer, Id_OfNobody) {
  site_.mutable_features()->RemoveLast();
  folder_.Write("lh.txt", "lh.aparc.area\tlh_a_area\nsub-1\t1\nsub-2\t3\nsub-3\t3\n///\t1\nfs/9\t2\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("/// (line 5), fs/9 (line 6)")));
}

TEST_F(FreeSurfer, Aseg_SeparatedByBlanks) {
  site_.clear_features();
  site_.add_features("aseg.table");
  folder_.Write("aseg.table",
                "Measure:volume  Left-Thalamus   BrainSegVol EstimatedTotalIntraCranialVol\n"
                "sub-1  7000.5   1100 1600\nsub-2  7100   1000 1500\nsub-3  7200   1200 1700\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("Left-Thalamus"));
  EXPECT_THAT(Subjects(*data)[0], HasSubstr("| 7000.5"));
}

TEST_F(FreeSurfer, Aseg_EveryWholeHeadMeasureIsSetAside) {
  site_.clear_features();
  // Tabs, whatever the file is called.
  site_.add_features("aseg.csv");
  folder_.Write("aseg.csv",
                "Measure:volume\tLeft-Thalamus\tBrainSegVol\tBrainSegVolNotVentSurf\tBrainSegVol-to-eTIV\tMaskVol-to-eTIV\n"
                "sub-1\t7000.5\t1100\t900\t0.7\t1.1\nsub-2\t7100\t1000\t800\t0.6\t1.2\nsub-3\t7200\t1200\t950\t0.8\t1.3\n");
  ASSERT_OK_AND_ASSIGN(const auto data, Open());
  EXPECT_THAT(data->features().names(), ElementsAre("Left-Thalamus", "MaskVol-to-eTIV"));
}

TEST_F(FreeSurfer, SameNumberWrittenInTwoWays_IsTheSame) {
  folder_.Write("rh.txt",
                "rh.aparc.thickness\trh_cuneus_thickness\teTIV\nsub-1\t1.8\t1600.000000\nsub-2\t2.2\t1500.0\n"
                "sub-3\t2.3\t1.7e3\n");
  EXPECT_OK(Open());
}

TEST_F(FreeSurfer, Id_PathsOnlyInTablesOfFreeSurfer) {
  site_.clear_features();
  site_.add_features("features.tsv");
  Features("participant_id\tx\nfs/sub-1\t1\nsub-2\t3\nsub-3\t5\n");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("fs/sub-1 (line 2)")));
}

}  // namespace
}  // namespace attune

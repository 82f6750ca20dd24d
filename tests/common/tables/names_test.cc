// SPDX-License-Identifier: Apache-2.0
#include "common/tables/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attune {
namespace {

using ::testing::HasSubstr;

TEST(SuggestNames, OtherCase) { EXPECT_EQ(SuggestNames("sex", {"age", "Sex"}), "did you mean 'Sex'?"); }

TEST(SuggestNames, Typo) {
  EXPECT_EQ(SuggestNames("lh_cuneus_thicknes", {"lh_cuneus_thickness", "dx"}), "did you mean 'lh_cuneus_thickness'?");
}

TEST(SuggestNames, PartOfTheName) { EXPECT_THAT(SuggestNames("age", {"dx", "age_years"}), HasSubstr("'age_years'")); }

TEST(SuggestNames, NothingNear) { EXPECT_EQ(SuggestNames("scanner", {"age", "dx"}), "there are: age, dx"); }

TEST(SuggestNames, EmptyNameAndList) { EXPECT_EQ(SuggestNames("", {}), "there are: "); }

TEST(IsUtf8, Table) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_TRUE(IsUtf8("Zürich \xE2\x82\xAC \xF0\x9F\xA7\xA0"));
  EXPECT_FALSE(IsUtf8("Z\xFCrich"));         // Latin-1
  EXPECT_FALSE(IsUtf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(IsUtf8("\xE0\x80\x80"));      // overlong
  EXPECT_FALSE(IsUtf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(IsUtf8("\xF4\x90\x80\x80"));  // beyond Unicode
  EXPECT_FALSE(IsUtf8("\xE2\x82"));          // cut off
  EXPECT_FALSE(IsUtf8("\x80"));              // no lead
}

}  // namespace
}  // namespace attune

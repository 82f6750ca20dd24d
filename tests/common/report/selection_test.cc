// SPDX-License-Identifier: Apache-2.0
#include "common/report/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace attune::testing {
namespace {

using ::testing::ElementsAre;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST(Select, AllWhereTheyFit) {
  const Selection all = Select(std::vector<double>{1, 5, kNone}, 3, 10);
  EXPECT_THAT(all.features, ElementsAre(0, 1, 2));
  EXPECT_EQ(all.added, 0);
}

TEST(Select, TheMostAffectedOfWhatTheEvenSampleLacks) {
  //                                      0  1  2  3  4      5  6  7  8  9
  const std::vector<double> effect = {9, 8, 1, 7, kNone, 7, 0, 2, 3, 4};
  const Selection some = Select(effect, 4, 2);
  EXPECT_EQ(some.added, 2);
  EXPECT_THAT(some.features, ElementsAre(1, 3, 0, 5));  // equal effects (3 and 5): the first; 5 is sampled anyway
}

TEST(Select, AtMostHalfAreAdded) {
  const std::vector<double> effect(100, 1.0);
  const Selection some = Select(effect, 10, 1000);
  EXPECT_EQ(some.added, 5);
  EXPECT_EQ(some.size(), 10);
  const Selection one = Select(effect, 1, 1000);
  EXPECT_EQ(one.added, 0);
  EXPECT_THAT(one.features, ElementsAre(0));
}

TEST(Select, SamplesOnlyFromWhereItIsTold) {
  // The first three are there for the size of their effect: a sample of them would not be an even one of all.
  const std::vector<double> effect = {9, 8, 7, 1, 2, 3, 4, 5, 6};
  const Selection some = Select(effect, 4, 2, 3);
  EXPECT_THAT(some.features, ElementsAre(0, 1, 3, 6));
  EXPECT_EQ(some.added, 2);
  EXPECT_EQ(Select(effect, 9, 2, 3).added, 3);
}

TEST(Select, FeaturesWithoutFiguresAreNeverAdded) {
  const std::vector<double> effect = {kNone, kNone, kNone, kNone};
  const Selection some = Select(effect, 2, 1);
  EXPECT_EQ(some.added, 0);
  EXPECT_THAT(some.features, ElementsAre(0));
}

}  // namespace
}  // namespace attune::testing

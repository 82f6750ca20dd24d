// SPDX-License-Identifier: Apache-2.0
#include "site_agent/absence_patterns.h"

#include <cmath>
#include <limits>
#include <random>

#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The smallest number of people by which two features differ, by looking at all pairs.
std::int64_t SmallestDifference(const std::vector<std::vector<double>>& rows) {
  std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t a = 0; a < rows[0].size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      std::int64_t different = 0;
      for (const auto& row : rows) different += std::isnan(row[a]) != std::isnan(row[b]) ? 1 : 0;
      if (different > 0) smallest = std::min(smallest, different);
    }
  }
  return smallest;
}

TEST(AbsencePatternsTest, FindClose_AgreesWithAllPairs) {
  std::mt19937 random(7);
  int refused = 0;
  for (int trial = 0; trial < 200; ++trial) {
    // Features come in three groups that lack different people, some of them by design close to each other.
    std::vector<std::vector<double>> rows;
    AbsencePatterns patterns(9);
    for (int i = 0; i < 70; ++i) {
      const bool first = random() % 10 == 0;
      const bool second = random() % 12 == 0;
      std::vector<double> row(9, 1.0);
      for (std::size_t f = 0; f < 9; ++f) {
        if ((f % 3 != 0 && first) || (f % 3 == 2 && second)) row[f] = kNan;
      }
      ASSERT_OK(patterns.Add(row));
      rows.push_back(row);
    }
    const auto found = patterns.FindClose(5);
    ASSERT_EQ(found.has_value(), SmallestDifference(rows) < 5) << "trial " << trial;
    if (!found.has_value()) continue;
    ++refused;
    std::int64_t different = 0;
    for (const auto& row : rows) different += std::isnan(row[found->feature]) != std::isnan(row[found->other]) ? 1 : 0;
    EXPECT_EQ(different, found->people) << "trial " << trial;
  }
  EXPECT_GT(refused, 10);
  EXPECT_LT(refused, 190);
}

TEST(AbsencePatternsTest, FindClose_AllOrNone) {
  AbsencePatterns patterns(2);
  for (int i = 0; i < 30; ++i) ASSERT_OK(patterns.Add(std::vector<double>{1.0, kNan}));
  EXPECT_FALSE(patterns.FindClose(5).has_value());
}

TEST(AbsencePatternsTest, Find_NothingAdded) {
  EXPECT_FALSE(AbsencePatterns(3).FindClose(5).has_value());
  EXPECT_FALSE(AbsencePatterns(0).FindClose(5).has_value());
}

TEST(AbsencePatternsTest, Add_TooManyPatterns) {
  std::mt19937 random(3);
  AbsencePatterns patterns(6000);
  absl::Status status;
  for (int i = 0; i < 40 && status.ok(); ++i) {
    std::vector<double> row(6000, 1.0);
    for (double& value : row) {
      if (random() % 2 == 0) value = kNan;
    }
    status = patterns.Add(row);
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("more than 4096 different ways")));
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

TEST(ParseDouble, Numbers) {
  const std::pair<const char*, double> cases[] = {
      {"0", 0},
      {"-0", -0.0},
      {"12", 12},
      {"+12", 12},
      {" 2.5\t", 2.5},
      {"1e3", 1000},
      {"1E-3", 0.001},
      {".5", 0.5},
      {"5.", 5},
      {"-1.25e+2", -125},
      {"0.1", 0.1},
      {"007", 7},
      {"4.9e-324", 4.9e-324},
      {"1.7976931348623157e308", std::numeric_limits<double>::max()},
  };
  for (const auto& [text, value] : cases) {
    const absl::StatusOr<double> parsed = ParseDouble(text);
    ASSERT_OK(parsed) << text;
    EXPECT_EQ(*parsed, value) << text;
  }
}

TEST(ParseDouble, AnythingElse_InvalidArgumentShowingTheCell) {
  for (const char* text : {"",
                           " ",
                           "n/a",
                           "NA",
                           "NaN",
                           "nan",
                           "inf",
                           "-inf",
                           "Infinity",
                           "1e999",
                           "0x10",
                           "1,5",
                           "1 2",
                           "12mm",
                           "--1",
                           "+-1",
                           "++1",
                           "1e",
                           "e5",
                           ".",
                           "-",
                           "+",
                           "1.2.3",
                           "1_000",
                           "\xc2\xa0"
                           "5"}) {
    EXPECT_THAT(ParseDouble(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a finite number"))) << text;
  }
  EXPECT_THAT(ParseDouble("12mm"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'12mm'")));
  EXPECT_THAT(ParseDouble(absl::string_view("1\0002", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("finite number")));
}

TEST(FormatDouble, ReadsBackTheSameBits) {
  testing::Dice dice(1);
  int checked = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const std::uint64_t bits = dice.engine()();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    ASSERT_OK_AND_ASSIGN(const double back, ParseDouble(FormatDouble(value)));
    ASSERT_EQ(std::memcmp(&back, &value, sizeof(value)), 0) << FormatDouble(value);
    ++checked;
  }
  EXPECT_GT(checked, 19000);
  for (const double value : {0.0, -0.0, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::lowest()}) {
    ASSERT_OK_AND_ASSIGN(const double back, ParseDouble(FormatDouble(value)));
    EXPECT_EQ(std::memcmp(&back, &value, sizeof(value)), 0);
  }
}

TEST(FormatDouble, ShortWhereThatIsExact) {
  EXPECT_EQ(FormatDouble(2), "2");
  EXPECT_EQ(FormatDouble(-0.5), "-0.5");
  EXPECT_EQ(FormatDouble(0.1), "0.10000000000000001");
  EXPECT_EQ(FormatDouble(std::nan("")), "n/a");
}

TEST(IsMissing, TheFourSpellings) {
  for (const char* text : {"", "  ", "n/a", "NA", "NaN", " n/a\t"}) EXPECT_TRUE(IsMissing(text)) << text;
  for (const char* text : {"N/A", "nan", "na", "null", "0", "-", "n / a", "."}) EXPECT_FALSE(IsMissing(text)) << text;
}

TEST(MatchesGlob, Table) {
  const struct {
    const char* pattern;
    const char* name;
    bool matches;
  } cases[] = {
      {"*", "", true},
      {"*", "anything", true},
      {"", "", true},
      {"", "a", false},
      {"?", "", false},
      {"?", "a", true},
      {"a?c", "abc", true},
      {"a?c", "ac", false},
      {"lh_*", "lh_cuneus", true},
      {"lh_*", "rh_cuneus", false},
      {"*_thickness", "lh_x_thickness", true},
      {"*_thickness", "thickness", false},
      {"*a*b", "xaxxb", true},
      {"*a*b", "xbxxa", false},
      {"a**b", "ab", true},
      {"*aab", "aaaab", true},
      {"Age", "age", false},
      {"a.c", "abc", false},
      {"[ab]", "a", false},
      {"a*", "a", true},
      {"*ab", "abcab", true},
      {"?*?", "ab", true},
  };
  for (const auto& c : cases) EXPECT_EQ(MatchesGlob(c.pattern, c.name), c.matches) << c.pattern << " " << c.name;
}

TEST(MatchesGlob, ManyStars_TakesNoTimeWorthMentioning) {
  const std::string name(20000, 'a');
  EXPECT_FALSE(MatchesGlob("*a*a*a*a*a*a*a*a*a*a*b", name));
}

TEST(JoinSome, FewAndMany) {
  EXPECT_EQ(JoinSome({}), "");
  EXPECT_EQ(JoinSome({"a"}), "a");
  EXPECT_EQ(JoinSome({"a", "b"}, 2), "a, b");
  EXPECT_EQ(JoinSome({"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

TEST(IsPlainName, Table) {
  for (const char* name : {"a", "site-1", "A.b_c", "0x"}) EXPECT_TRUE(IsPlainName(name)) << name;
  EXPECT_TRUE(IsPlainName(std::string(63, 'a')));
  for (const char* name : {"", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa9", "a:b"})
    EXPECT_FALSE(IsPlainName(name)) << name;
  EXPECT_FALSE(IsPlainName(std::string(64, 'a')));
  EXPECT_FALSE(IsPlainName(absl::string_view("a\0", 2)));
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/json_log.h"

#include <gtest/gtest.h>

namespace attune::testing {
namespace {

std::string MessageOf(absl::string_view text) {
  const std::string line = JsonLogLine(absl::FromUnixMillis(1'800'000'000'123), "info", text);
  const std::string begin = R"({"time":"2027-01-15T08:00:00.123Z","level":"info","message":")";
  EXPECT_EQ(line.substr(0, begin.size()), begin);
  EXPECT_EQ(line.substr(line.size() - 3), "\"}\n");
  return line.substr(begin.size(), line.size() - begin.size() - 3);
}

TEST(JsonLog, JsonLogLine_PlainText) { EXPECT_EQ(MessageOf("the site 'north' \xc3\xa4"), "the site 'north' \xc3\xa4"); }

TEST(JsonLog, JsonLogLine_NothingBreaksTheLine) {
  EXPECT_EQ(MessageOf("a\"b\\c\nd\te\x7f"), R"(a\"b\\c\u000ad\u0009e\u007f)");
  EXPECT_EQ(MessageOf(absl::string_view("\0", 1)), R"(\u0000)");
}

TEST(JsonLog, JsonLogLine_NoUtf8BecomesTheReplacementCharacter) {
  EXPECT_EQ(MessageOf("\xff!"), R"(\ufffd!)");                              // no first byte
  EXPECT_EQ(MessageOf("\xc3"), R"(\ufffd)");                                // cut off
  EXPECT_EQ(MessageOf("\xc0\xaf"), R"(\ufffd\ufffd)");                      // overlong
  EXPECT_EQ(MessageOf("\xed\xa0\x80"), R"(\ufffd\ufffd\ufffd)");            // surrogate
  EXPECT_EQ(MessageOf("\xf4\x90\x80\x80"), R"(\ufffd\ufffd\ufffd\ufffd)");  // beyond Unicode
  EXPECT_EQ(MessageOf("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
//
// Whatever text a study holds, it stays text: it ends no script, begins no markup, and reads back the same.
#include "common/report/page.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <string>

#include "common/report/report.h"
#include "tests/common/report/report_study.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTemplate[] = "<html><script type=\"application/json\" id=\"r\">ATTUNE_REPORT_JSON</script></html>";
constexpr char kBefore[] = "<html><script type=\"application/json\" id=\"r\">";
constexpr char kAfter[] = "</script></html>";

const char* const kHostile[] = {"</script><img src=x onerror=alert(1)>",
                                "<!--<script>",
                                "\"};alert(1);//",
                                "a\xE2\x80\xA8"
                                "b\xE2\x80\xA9"
                                "c",
                                "tab\tand\nline",
                                "back\\slash",
                                "]]>",
                                "&lt;",
                                "ATTUNE_REPORT_JSON",
                                "\x7F\x01"};

// The JSON that a browser would find in the block.
std::string Inside(const std::string& page) {
  EXPECT_EQ(page.compare(0, sizeof(kBefore) - 1, kBefore), 0);
  EXPECT_EQ(page.substr(page.size() - sizeof(kAfter) + 1), kAfter);
  return page.substr(sizeof(kBefore) - 1, page.size() - sizeof(kBefore) - sizeof(kAfter) + 2);
}

TEST(ReportPage, HostileNamesStayText) {
  SyntheticStudy study = MakeSynthetic({.seed = 31});
  std::vector<std::string> names = study.facts.features.names();
  for (std::size_t i = 0; i < std::size(kHostile); ++i) names[i] = kHostile[i];
  study.facts.features = names;
  study.facts.covariates[0].name = "</script><script>alert(2)</script>";
  study.facts.covariates[1].levels[1] = "<!--";
  ReportInput input = InputOf(study);
  input.notes.push_back("</SCRIPT >");
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  ASSERT_OK_AND_ASSIGN(const std::string page, ReportPage(ReportJson(report), kTemplate));
  const std::string inside = Inside(page);
  EXPECT_THAT(inside, Not(HasSubstr("<")));
  EXPECT_THAT(inside, Not(HasSubstr("\xE2\x80\xA8")));
  EXPECT_THAT(inside, Not(HasSubstr("\xE2\x80\xA9")));
  v1::Report back;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(inside, &back).ok());
  EXPECT_EQ(back.SerializeAsString(), report.SerializeAsString());
  for (std::size_t i = 0; i < std::size(kHostile); ++i) EXPECT_EQ(back.features().names(static_cast<int>(i)), kHostile[i]);
}

TEST(ReportPage, RoomForNamesIsNeverTooSmall) {
  for (const char* name : kHostile) {
    v1::Report report;
    const std::size_t empty = ReportJson(report).size();
    report.mutable_provenance()->set_consortium(name);
    v1::Report bare;
    bare.mutable_provenance();
    const std::size_t taken = ReportJson(report).size() - ReportJson(bare).size();
    EXPECT_LE(taken + 2, JsonStringBytes(name)) << name;
    EXPECT_GT(empty, 0u);
  }
}

TEST(ReportPage, NeedsThePlaceOnce) {
  EXPECT_EQ(ReportPage("{}", "<html></html>").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReportPage("{}", "ATTUNE_REPORT_JSON ATTUNE_REPORT_JSON").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(ReportPage, TheProgramsOwn) {
  if (!HasReportPage()) {
    EXPECT_THAT(std::string(ReportPage("{}").status().message()), HasSubstr("deploy/build-web.sh"));
    GTEST_SKIP() << "this build has no page: no Node.js where it was made";
  }
  ASSERT_OK_AND_ASSIGN(const std::string page, ReportPage("{\"format\":1}"));
  EXPECT_THAT(page, HasSubstr("id=\"attune-report\">{\"format\":1}</script>"));
  EXPECT_LT(page.size() + kReportBytes, 5'000'000u);
  // It asks for nothing: no address in anything that loads.
  for (const char* loads : {"src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http", "@import"}) {
    EXPECT_THAT(page, Not(HasSubstr(loads)));
  }
}

}  // namespace
}  // namespace attune::testing

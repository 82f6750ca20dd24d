// SPDX-License-Identifier: Apache-2.0
#include "common/tables/delimited.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

// One member of gzip.
std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class DelimitedTest : public ::testing::Test {
 protected:
  absl::StatusOr<DelimitedFile> Open(const std::string& name, const std::string& bytes) {
    return DelimitedFile::Open(folder_.Write(name, bytes));
  }
  // Cells of the only row.
  std::vector<std::string> Row(const std::string& name, const std::string& bytes) {
    const auto table = Open(name, bytes);
    EXPECT_OK(table);
    if (!table.ok() || table->row_count() != 1) return {"not one row"};
    const auto row = table->ReadRow(0);
    EXPECT_OK(row);
    return row.value_or(std::vector<std::string>{"unreadable"});
  }
  absl::Status Error(const std::string& name, const std::string& bytes) { return Open(name, bytes).status(); }

  const TempFolder folder_;
};

TEST_F(DelimitedTest, Open_Tsv) {
  const std::string bytes = "participant_id\tage\nsub-1\t10\nsub-2\t11.50\n";
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv", bytes));
  EXPECT_THAT(table.header(), ElementsAre("participant_id", "age"));
  EXPECT_EQ(table.row_count(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto second, table.ReadRow(1));
  EXPECT_THAT(second, ElementsAre("sub-2", "11.50"));
  ASSERT_OK_AND_ASSIGN(const auto first, table.ReadRow(0));  // any order
  EXPECT_THAT(first, ElementsAre("sub-1", "10"));
  EXPECT_EQ(table.LineOf(1), 3u);
  EXPECT_EQ(table.Where(1, 1), absl::StrCat(folder_ / "t.tsv", ":3: column 'age'"));
  EXPECT_EQ(table.sha256(), Sha256Hex(bytes));
  EXPECT_EQ(table.ColumnOf("age"), 1u);
  EXPECT_EQ(table.ColumnOf("Age"), std::nullopt);
}

TEST_F(DelimitedTest, Open_HeaderOnly) {
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv", "a\tb"));
  EXPECT_EQ(table.row_count(), 0u);
}

TEST_F(DelimitedTest, Open_ByteOrderMarkCrlfAndBlankEnd) {
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv",
                                                       "\xEF\xBB\xBF"
                                                       "a\tb\r\n1\t2\r\n3\t4\r\n\r\n  \n\n"));
  EXPECT_THAT(table.header(), ElementsAre("a", "b"));
  EXPECT_EQ(table.row_count(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto row, table.ReadRow(1));
  EXPECT_THAT(row, ElementsAre("3", "4"));
}

TEST_F(DelimitedTest, Open_NoLineEndAtTheEnd) { EXPECT_THAT(Row("t.tsv", "a\tb\n1\t2"), ElementsAre("1", "2")); }

TEST_F(DelimitedTest, Open_EmptyCells) {
  EXPECT_THAT(Row("t.tsv", "a\tb\tc\n\t\t\n"), ElementsAre("", "", ""));
  EXPECT_THAT(Row("t.csv", "a,b,c\n1,,\n"), ElementsAre("1", "", ""));
}

TEST_F(DelimitedTest, Open_QuotedCells) {
  EXPECT_THAT(Row("t.csv", "a,b,c\n\"1,5\",\"say \"\"x\"\"\",  blanks around \n"),
              ElementsAre("1,5", "say \"x\"", "blanks around"));
  EXPECT_THAT(Row("t.tsv", "a\tb\n\"1\t2\"\t\" in quotes \"\n"), ElementsAre("1\t2", " in quotes "));
}

TEST_F(DelimitedTest, Open_DelimiterByName) {
  EXPECT_THAT(Row("a.tsv", "a,b\n1,2\n"), ElementsAre("1,2"));
  EXPECT_THAT(Row("a.csv", "a x,b\n1,2\n"), ElementsAre("1", "2"));
  EXPECT_THAT(Row("a.csv", "a;b\n1,5;2\n"), ElementsAre("1,5", "2"));
}

TEST_F(DelimitedTest, Open_DelimiterByHeader) {
  EXPECT_THAT(Row("a.txt", "a\tb,c\n1\t2\n"), ElementsAre("1", "2"));
  EXPECT_THAT(Row("a.dat", "a,b\n1,2\n"), ElementsAre("1", "2"));
  EXPECT_THAT(Row("a.txt", "a;b\n1;2\n"), ElementsAre("1", "2"));
  EXPECT_THAT(Row("a.table", "  a   b \n 1     2\n"), ElementsAre("1", "2"));
  EXPECT_THAT(Row("noending", "a b\n\"\" \"x y\"\n"), ElementsAre("", "x y"));
}

TEST_F(DelimitedTest, Open_Gzip) {
  const std::string bytes = Gzip("a\tb\n1\t2\n");
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv.gz", bytes));
  ASSERT_OK_AND_ASSIGN(const auto row, table.ReadRow(0));
  EXPECT_THAT(row, ElementsAre("1", "2"));
  EXPECT_EQ(table.sha256(), Sha256Hex(bytes));
}

TEST_F(DelimitedTest, Open_GzipOfSeveralMembersAndCsv) {
  EXPECT_THAT(Row("t.csv.gz", Gzip("a,b\n1") + Gzip(",2\n")), ElementsAre("1", "2"));
}

TEST_F(DelimitedTest, Open_GzipThatExpandsALot) {
  std::string text = "a\tb\n";
  for (int i = 0; i < 200000; ++i) absl::StrAppend(&text, "0.12345678901234567\t", i, "\n");
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv.gz", Gzip(text)));
  ASSERT_EQ(table.row_count(), 200000u);
  ASSERT_OK_AND_ASSIGN(const auto row, table.ReadRow(199999));
  EXPECT_THAT(row, ElementsAre("0.12345678901234567", "199999"));
}

TEST_F(DelimitedTest, Open_BrokenGzip) {
  const std::string whole = Gzip("a\tb\n1\t2\n");
  EXPECT_THAT(Error("t.tsv.gz", whole.substr(0, whole.size() - 3)),
              StatusIs(kInvalid, AllOf(HasSubstr("t.tsv.gz"), HasSubstr("too early"))));
  EXPECT_THAT(Error("u.tsv.gz", "a\tb\n1\t2\n"), StatusIs(kInvalid, HasSubstr("not valid gzip")));
  EXPECT_THAT(Error("v.tsv.gz", ""), StatusIs(kInvalid, HasSubstr("too early")));
  std::string wrong = whole;
  wrong[wrong.size() - 6] ^= 1;  // the checksum
  EXPECT_THAT(Error("w.tsv.gz", wrong), StatusIs(kInvalid, HasSubstr("not valid gzip")));
  EXPECT_THAT(Error("x.tsv.gz", whole + "garbage"), StatusIs(kInvalid, HasSubstr("not valid gzip")));
}

TEST_F(DelimitedTest, Open_NoSuchFile) {
  EXPECT_THAT(DelimitedFile::Open(folder_ / "none.tsv").status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.tsv")));
}

TEST_F(DelimitedTest, Open_Folder) {
  EXPECT_THAT(DelimitedFile::Open(folder_.path()).status(), StatusIs(kInvalid, HasSubstr("no regular file")));
}

TEST_F(DelimitedTest, Open_Empty) {
  EXPECT_THAT(Error("t.tsv", ""), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(Error("t.tsv", "\n"), StatusIs(kInvalid, HasSubstr(":1: the first line is blank")));
  EXPECT_THAT(Error("t.tsv", "\xEF\xBB\xBF"), StatusIs(kInvalid, HasSubstr("blank")));
}

TEST_F(DelimitedTest, Open_Header) {
  EXPECT_THAT(Error("t.tsv", "a\tb\ta\n"), StatusIs(kInvalid, HasSubstr("t.tsv:1: two columns are named 'a'")));
  EXPECT_THAT(Error("t.csv", "a,,b\n"), StatusIs(kInvalid, HasSubstr("t.csv:1: column 2 has no name")));
  EXPECT_THAT(Error("t.csv", "a,\" \"\n"), StatusIs(kInvalid, HasSubstr("column 2 has no name")));
  EXPECT_THAT(Error("t.csv", "a,Z\xFCrich\n"), StatusIs(kInvalid, HasSubstr("not UTF-8")));
  EXPECT_THAT(Error("t.csv", "a,\"x\ty\"\n"), StatusIs(kInvalid, HasSubstr("control character")));
}

TEST_F(DelimitedTest, Open_AnotherNumberOfCells) {
  EXPECT_THAT(Error("t.tsv", "a\tb\n1\t2\n1\n"), StatusIs(kInvalid, HasSubstr("t.tsv:3: 1 cells, expected 2")));
  EXPECT_THAT(Error("t.tsv", "a\tb\n1\t2\t3\n"), StatusIs(kInvalid, HasSubstr("t.tsv:2: 3 cells, expected 2")));
}

TEST_F(DelimitedTest, Open_BlankLineBetween) {
  EXPECT_THAT(Error("t.tsv", "a\tb\n1\t2\n\n\n3\t4\n"), StatusIs(kInvalid, HasSubstr("t.tsv:3: a blank line")));
}

TEST_F(DelimitedTest, Open_CellOverSeveralLines) {
  EXPECT_THAT(Error("t.csv", "a,b\n1,\"two\nlines\"\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("t.csv:2"), HasSubstr("does not end on its line"))));
}

TEST_F(DelimitedTest, Open_StrayQuote) {
  EXPECT_THAT(Error("t.csv", "a,b\n1,5\"\n"), StatusIs(kInvalid, AllOf(HasSubstr("t.csv:2"), HasSubstr("double quote"))));
  EXPECT_THAT(Error("t.csv", "a,b\n1,\"x\"y\n"), StatusIs(kInvalid, HasSubstr("double quote")));
}

TEST_F(DelimitedTest, Open_CarriageReturnsAlone) {
  EXPECT_THAT(Error("t.csv", "a,b\r1,2\r"), StatusIs(kInvalid, AllOf(HasSubstr("t.csv:1"), HasSubstr("carriage return"))));
}

TEST_F(DelimitedTest, Open_NulByte) {
  EXPECT_THAT(Error("t.csv", std::string("a,b\n1,\0\n", 8)), StatusIs(kInvalid, HasSubstr("t.csv:2: a NUL byte")));
}

TEST_F(DelimitedTest, Open_LineTooLong) {
  const std::string path = folder_.Write("t.csv", "a\n");
  std::ofstream(path, std::ios::app | std::ios::binary) << std::string((std::size_t{64} << 20) + 1, 'x');
  EXPECT_THAT(DelimitedFile::Open(path).status(), StatusIs(kInvalid, HasSubstr("t.csv:2: a line of more than 64 MiB")));
}

TEST_F(DelimitedTest, Open_LineLongerThanAPiece) {
  const std::string longest(std::size_t{3} << 20, 'x');
  EXPECT_THAT(Row("t.csv", absl::StrCat("a,b\n", longest, ",2\n")), ElementsAre(longest, "2"));
}

TEST_F(DelimitedTest, ReadRow_ChangedFile) {
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.csv", "a,b\n1,2\n"));
  folder_.Write("t.csv", "a,b\n1,2\n3,4\n");
  EXPECT_THAT(table.ReadRow(0).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("changed")));
}

TEST_F(DelimitedTest, ReadRow_ReplacedFile) {
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.csv", "a,b\n1,2\n"));
  folder_.Write("u.csv", "x\n");
  std::filesystem::rename(folder_ / "u.csv", folder_ / "t.csv");
  ASSERT_OK_AND_ASSIGN(const auto row, table.ReadRow(0));  // the file that was opened lives on
  EXPECT_THAT(row, ElementsAre("1", "2"));
}

TEST_F(DelimitedTest, Open_LeavesNoTemporaryFile) {
  ::setenv("TMPDIR", folder_.path().c_str(), 1);
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, Open("t.tsv.gz", Gzip("a\n1\n")));
  ::setenv("TMPDIR", (folder_ / "none").c_str(), 1);
  EXPECT_THAT(DelimitedFile::Open(folder_ / "t.tsv.gz").status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("TMPDIR")));
  ::unsetenv("TMPDIR");
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) names.push_back(entry.path().filename());
  EXPECT_THAT(names, ElementsAre("t.tsv.gz"));
}

}  // namespace
}  // namespace attune

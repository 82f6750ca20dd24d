// SPDX-License-Identifier: Apache-2.0
#include "common/tables/tsv_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tables/delimited.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::_;

TEST(TsvWriter, PlainCells) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(TsvWriter writer, TsvWriter::Create(folder / "t.tsv", FileAccess::kShared));
  writer.WriteRow({"participant_id", "a", "b"});
  writer.WriteRow({"sub-1", "", "n/a"});
  EXPECT_FALSE(FileExists(folder / "t.tsv"));
  ASSERT_OK(std::move(writer).Commit());
  EXPECT_EQ(folder.Read("t.tsv"), "participant_id\ta\tb\nsub-1\t\tn/a\n");
}

TEST(TsvWriter, QuotesWhatCouldBeMisread) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(TsvWriter writer, TsvWriter::Create(folder / "t.tsv", FileAccess::kShared));
  const std::vector<std::string> cells = {"a\tb", "say \"x\"", " blank ", "comma, kept"};
  writer.WriteRow({"1", "2", "3", "4"});
  writer.WriteRow(cells);
  ASSERT_OK(std::move(writer).Commit());
  EXPECT_EQ(folder.Read("t.tsv"), "1\t2\t3\t4\n\"a\tb\"\t\"say \"\"x\"\"\"\t\" blank \"\tcomma, kept\n");
  ASSERT_OK_AND_ASSIGN(const DelimitedFile table, DelimitedFile::Open(folder / "t.tsv"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> read, table.ReadRow(0));
  EXPECT_EQ(read, cells);
}

TEST(TsvWriter, WithoutCommitNothingStays) {
  const TempFolder folder;
  {
    ASSERT_OK_AND_ASSIGN(TsvWriter writer, TsvWriter::Create(folder / "t.tsv", FileAccess::kShared));
    writer.WriteRow({"a"});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TsvWriter, NoFolder) {
  const TempFolder folder;
  EXPECT_THAT(TsvWriter::Create(folder / "none/t.tsv", FileAccess::kShared).status(), StatusIs(absl::StatusCode::kNotFound, _));
}

}  // namespace
}  // namespace attune

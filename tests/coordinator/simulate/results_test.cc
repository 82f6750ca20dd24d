// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ResultsTest : public ::testing::Test {
 protected:
  ResultsFolder Folder() const { return ResultsFolder(folder_ / "out", {"table.tsv", "models"}); }

  // A whole run that writes `text`.
  absl::Status Run(const std::string& text, bool force = false, bool keep = false) const {
    ResultsFolder results = Folder();
    if (const absl::Status begun = results.Begin({}, force); !begun.ok()) return begun;
    folder_.Write("out/work/results/table.tsv", text);
    fs::create_directories(results.Staged("models"));
    const absl::Status published = results.Publish();
    results.CleanUp(keep);
    return published;
  }

  TempFolder folder_;
};

TEST_F(ResultsTest, Run_LeavesOutputsAndNoWork) {
  ASSERT_OK(Run("one"));
  EXPECT_EQ(folder_.Read("out/table.tsv"), "one");
  EXPECT_TRUE(fs::is_directory(folder_ / "out/models"));
  EXPECT_FALSE(fs::exists(folder_ / "out/work"));
}

TEST_F(ResultsTest, Run_AgainNeedsForce) {
  ASSERT_OK(Run("one"));
  EXPECT_THAT(Run("two"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--force")));
  EXPECT_EQ(folder_.Read("out/table.tsv"), "one");
  ASSERT_OK(Run("two", /*force=*/true));
  EXPECT_EQ(folder_.Read("out/table.tsv"), "two");
}

TEST_F(ResultsTest, FailedRun_KeepsWhatAnEarlierOneWrote) {
  ASSERT_OK(Run("one"));
  ResultsFolder results = Folder();
  ASSERT_OK(results.Begin({}, /*force=*/true));
  folder_.Write("out/work/results/table.tsv", "half");
  results.CleanUp(/*keep=*/false);  // without Publish
  EXPECT_EQ(folder_.Read("out/table.tsv"), "one");
  EXPECT_FALSE(fs::exists(folder_ / "out/work"));
}

TEST_F(ResultsTest, FailedRun_InAFolderOfItsOwn_LeavesNothing) {
  ResultsFolder results = Folder();
  ASSERT_OK(results.Begin({}, false));
  results.CleanUp(/*keep=*/false);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(ResultsTest, Begin_WhatIsNotOursStays_EvenWithForce) {
  fs::create_directories(folder_ / "out/models");
  folder_.Write("out/models/mine.txt", "precious");
  EXPECT_THAT(Run("one", /*force=*/true), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("not made by attune-simulate")));
  EXPECT_EQ(folder_.Read("out/models/mine.txt"), "precious");
}

TEST_F(ResultsTest, Begin_WhatIsNotOursStays_AlsoBesideOurs) {
  // A run without models; the user puts some there.
  ResultsFolder first(folder_ / "out", {"table.tsv"});
  ASSERT_OK(first.Begin({}, false));
  folder_.Write("out/work/results/table.tsv", "one");
  ASSERT_OK(first.Publish());
  first.CleanUp(false);
  fs::create_directories(folder_ / "out/models");
  folder_.Write("out/models/mine.txt", "precious");
  EXPECT_THAT(Run("two", /*force=*/true), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("out/models")));
  EXPECT_EQ(folder_.Read("out/models/mine.txt"), "precious");
  EXPECT_EQ(folder_.Read("out/table.tsv"), "one");
}

TEST_F(ResultsTest, FailedRun_FolderOfTheUserStays) {
  fs::create_directories(folder_ / "big");
  fs::create_directory_symlink(folder_ / "big", folder_ / "out");
  ResultsFolder results = Folder();
  ASSERT_OK(results.Begin({}, false));
  results.CleanUp(false);
  EXPECT_TRUE(fs::is_symlink(folder_ / "out"));
  EXPECT_TRUE(fs::is_empty(folder_ / "big"));
}

TEST_F(ResultsTest, Begin_FilesOfOthersBesideOurs) {
  fs::create_directories(folder_ / "out");
  folder_.Write("out/notes.txt", "mine");
  ASSERT_OK(Run("one"));
  ASSERT_OK(Run("two", /*force=*/true));
  EXPECT_EQ(folder_.Read("out/notes.txt"), "mine");
}

TEST_F(ResultsTest, Begin_InputInWhatWouldBeReplaced) {
  ASSERT_OK(Run("one"));
  folder_.Write("out/models/input.tsv", "x");
  ResultsFolder results = Folder();
  EXPECT_THAT(results.Begin({folder_ / "out/models/../models/input.tsv"}, /*force=*/true),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("would be replaced")));
  EXPECT_OK(results.Begin({folder_ / "elsewhere.tsv"}, /*force=*/true));
  EXPECT_EQ(folder_.Read("out/models/input.tsv"), "x");
}

TEST_F(ResultsTest, Begin_NoFolder) {
  folder_.Write("out", "a file");
  EXPECT_THAT(Folder().Begin({}, true), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a folder")));
}

TEST_F(ResultsTest, CleanUp_Keep) {
  ASSERT_OK(Run("one", false, /*keep=*/true));
  EXPECT_TRUE(fs::exists(folder_ / "out/work"));
  EXPECT_EQ(folder_.Read("out/table.tsv"), "one");
  ASSERT_OK(Run("two", /*force=*/true));
  EXPECT_FALSE(fs::exists(folder_ / "out/work"));
}

TEST(JoinSidecarsTest, BatchesSubjectsAndNotesOnce) {
  std::vector<v1::Sidecar> sites(2);
  for (v1::Sidecar& site : sites) {
    site.set_harmonization_applied(true);
    site.set_manifest_sha256("abc");
    site.set_model_sha256("own");
    site.add_inputs()->set_file("features.tsv");
    site.add_notes("common");
    site.set_subjects(10);
  }
  sites[0].add_batches("b/x");
  sites[1].add_batches("a/y");
  sites[1].add_notes("batch a/y: small");
  sites[1].set_subjects_excluded(2);
  ASSERT_OK_AND_ASSIGN(const v1::Sidecar joined, JoinSidecars(sites));
  EXPECT_TRUE(joined.harmonization_applied());
  EXPECT_THAT(joined.batches(), ElementsAre("a/y", "b/x"));
  EXPECT_THAT(joined.notes(), ElementsAre("common", "batch a/y: small"));
  EXPECT_EQ(joined.subjects(), 20u);
  EXPECT_EQ(joined.subjects_excluded(), 2u);
  EXPECT_EQ(joined.inputs_size(), 0);
  EXPECT_EQ(joined.model_sha256(), "");
  sites[1].set_manifest_sha256("def");
  EXPECT_THAT(JoinSidecars(sites), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one study")));
  EXPECT_THAT(JoinSidecars({}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no site")));
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// attune-site on images without a consortium: local, apply, what a second start keeps, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/files.h"
#include "tests/end_to_end/finished_images.h"
#include "tests/end_to_end/masked_values.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class VoxelPrograms : public FinishedImages {
 protected:
  // The demo's sites as the scanners of one.
  std::string StudyFile() {
    std::string text = ReadText(Data() + "/study.yaml");
    fs::copy_file(Data() + "/mask.nii", temp_ / "mask.nii", fs::copy_options::overwrite_existing);
    return temp_.Write("study.yaml", text + "batch: site\n");
  }
  ProgramResult Local(const std::string& images, const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "local",    "--study", StudyFile(), "--site", "all", "--participants", Data() + "/participants.tsv",
        "--images", images,    "--out",     out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram("attune-site", arguments);
  }
  TempFolder temp_;
};

TEST_F(VoxelPrograms, Local_EqualsTheConsortium_ApplyEqualsLocal) {
  const std::string out = temp_ / "out";
  const ProgramResult local = Local(Data() + "/images", out, {"--dtype", "float64"});
  ASSERT_EQ(local.exit_code, 0) << local.output;
  double largest = 0;
  for (int subject = 1; subject <= kSubjects; ++subject) {
    const auto here = AllValues(Output(out, subject));
    const auto there = AllValues(Output(Out(), subject));
    ASSERT_EQ(here.size(), there.size());
    for (std::size_t v = 0; v < here.size(); ++v) largest = std::max(largest, std::abs(here[v] - there[v]));
  }
  EXPECT_LE(largest, 1e-12);

  NaiveTable people = ReadNaive(Data() + "/participants.tsv");
  const std::string one = temp_.Write(
      "one.tsv", absl::StrCat(absl::StrJoin(people.header, "\t"), "\n", absl::StrJoin(people.rows[19], "\t"), "\n"));
  const std::string applied = temp_ / "applied";
  const ProgramResult apply =
      RunProgram("attune-site", {"apply", "--model", out + "/model.json", "--participants", one, "--images", Data() + "/images",
                                 "--out", applied, "--dtype", "float64"});
  ASSERT_EQ(apply.exit_code, 0) << apply.output;
  EXPECT_TRUE(ReadText(Output(applied, 20)) == ReadText(Output(out, 20)));
  EXPECT_FALSE(FileExists(Output(applied, 19)));
}

// Of a file: which one it is on the disk, and when it was written.
using Identity = std::pair<ino_t, std::int64_t>;
Identity IdentityOf(const std::string& path) {
  struct stat about {};
  EXPECT_EQ(::stat(path.c_str(), &about), 0) << path;
  return {about.st_ino, about.st_mtim.tv_sec * std::int64_t{1'000'000'000} + about.st_mtim.tv_nsec};
}

TEST_F(VoxelPrograms, SecondStart_KeepsWhatIsFinishedAndMakesTheRest) {
  const std::string out = temp_ / "out";
  const ProgramResult first = Local(Data() + "/images", out);
  ASSERT_EQ(first.exit_code, 0) << first.output;
  const auto before = FilesBelow(out);
  // As a run leaves it that was killed: no table; of one image the sidecar alone, of one nothing. And one that was damaged
  // since, and one whose sidecar is of another input.
  std::vector<Identity> identities(kSubjects + 1);
  for (int subject = 1; subject <= kSubjects; ++subject) identities[subject] = IdentityOf(Output(out, subject));
  const auto sidecar = [&](int subject) { return absl::StrCat(out, "/images/", Name(subject, "gmHarmonized")); };
  const auto sidecar_path = [&](int subject) {
    std::string path = sidecar(subject);
    return path.substr(0, path.size() - 4) + ".json";
  };
  fs::remove(out + "/desc-harmonized_images.tsv");
  fs::remove(Output(out, 3));
  fs::remove(Output(out, 4));
  ASSERT_TRUE(fs::remove(sidecar_path(4)));
  std::string damaged = ReadText(Output(out, 5));
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
  WriteText(Output(out, 5), damaged);
  fs::copy_file(sidecar_path(7), sidecar_path(6), fs::copy_options::overwrite_existing);

  const ProgramResult second = Local(Data() + "/images", out);
  ASSERT_EQ(second.exit_code, 0) << second.output;
  const auto after = FilesBelow(out);
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [name, bytes] : before) EXPECT_TRUE(after.count(name) == 1 && after.at(name) == bytes) << name;
  for (int subject = 1; subject <= kSubjects; ++subject) {
    const bool made_again = subject >= 3 && subject <= 6;
    EXPECT_EQ(IdentityOf(Output(out, subject)) == identities[subject], !made_again) << subject;
  }
  EXPECT_EQ(Local(Data() + "/images", out).exit_code, 6);
}

TEST_F(VoxelPrograms, Output_ReplacesNoInput) {
  // The table that is read lies where the output's would be: nothing is touched, not even by force.
  const std::string out = temp_ / "out";
  fs::create_directory(out);
  const std::string people = out + "/desc-harmonized_images.tsv";
  fs::copy_file(Data() + "/participants.tsv", people);
  const std::string before = ReadText(people);
  const ProgramResult run =
      RunProgram("attune-site", {"local", "--study", StudyFile(), "--site", "all", "--participants", people, "--images",
                                 Data() + "/images", "--out", out, "--force"});
  EXPECT_EQ(run.exit_code, 6) << run.output;
  EXPECT_THAT(run.output, HasSubstr("would replace the file that is read"));
  EXPECT_EQ(FilesBelow(out).size(), 1u);
  EXPECT_EQ(ReadText(people), before);
}

TEST_F(VoxelPrograms, BadImage_ExitCode3NamesTheFileAndWritesNothing) {
  fs::copy(Data() + "/images", temp_ / "images");
  const std::string image = temp_ / "images/" + Name(20, "gm");
  const std::string whole = ReadText(image);
  const std::string zipped = ReadText(Output(Out(), 20));
  const auto changed = [&](std::size_t at, auto value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    return bytes;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  struct Case {
    const char* what;
    std::string bytes;
    const char* says;
  };
  const Case cases[] = {
      {"gzip, cut short", zipped.substr(0, zipped.size() / 2), "cut short"},
      {"wrong magic", changed(344, 'x'), "magic"},
      {"NaN in the header", changed(80, kNan), "wide"},
      {"4-D", changed(40, std::int64_t{0x0018001e001a0004}).replace(48, 2, std::string("\2\0", 2)), "2 volumes"},
      {"another grid", changed(292, -77.0F), "lies elsewhere"},
      {"lying sizes", changed(46, std::int16_t{32000}), "header says"},
      {"zero bytes", "", "is empty"},
      {"NaN in the mask", changed(352 + 4 * (26 * 30 * 12 + 26 * 15 + 13), kNan), "NaN"},
  };
  const auto expect_refused = [&](const char* what, const char* says) {
    const std::string out = temp_ / "out";
    const ProgramResult run = Local(temp_ / "images", out);
    EXPECT_EQ(run.exit_code, 3) << what << ": " << run.output;
    EXPECT_THAT(run.output, HasSubstr(Name(20, "gm"))) << what;
    EXPECT_THAT(run.output, HasSubstr(says)) << what;
    EXPECT_TRUE(FilesBelow(out).empty()) << what;
  };
  for (const Case& bad : cases) {
    WriteText(image, bad.bytes);
    expect_refused(bad.what, bad.says);
  }
  fs::remove(image);
  fs::create_directory(image);
  expect_refused("a directory", "is no file");
}

}  // namespace
}  // namespace attune::testing

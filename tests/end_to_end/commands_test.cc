// SPDX-License-Identifier: Apache-2.0
//
// attune-coordinator and attune-site as a person uses them: exit codes, files that come and go by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "attune/v1/outputs.pb.h"
#include "common/wire/json.h"
#include "tests/end_to_end/finished_consortium.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// ---- attune-coordinator ----

TEST(Coordinator, Verify_FindsNothingThenTheDamage) {
  const TempFolder temp;
  fs::copy(Out() + "/coordinator", temp / "coordinator", fs::copy_options::recursive);
  const std::vector<std::string> verify = {"--dir", temp / "coordinator", "verify", "demo"};
  const ProgramResult sound = RunProgram("attune-coordinator", verify);
  EXPECT_EQ(sound.exit_code, 0) << sound.output;
  // One bit of the largest blob, an answer or a correction.
  fs::path largest;
  for (const fs::directory_entry& blob : fs::directory_iterator(temp / "coordinator/blobs")) {
    if (blob.is_regular_file() && (largest.empty() || blob.file_size() > fs::file_size(largest))) largest = blob.path();
  }
  fs::permissions(largest, fs::perms::owner_all);
  std::fstream file(largest, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-1, std::ios::end);
  const char last = static_cast<char>(file.get());
  file.seekp(-1, std::ios::end);
  file.put(static_cast<char>(last ^ 1));
  file.close();
  const ProgramResult damaged = RunProgram("attune-coordinator", verify);
  EXPECT_EQ(damaged.exit_code, 1) << damaged.output;
  EXPECT_THAT(damaged.output, HasSubstr(largest.filename().string().substr(0, 8)));
}

TEST(Coordinator, ExampleStudyFile_IsGood) {
  const TempFolder temp;
  const std::vector<std::string> dir = {"--dir", temp / "coordinator"};
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), dir.begin(), dir.end());
    return RunProgram("attune-coordinator", arguments);
  };
  ASSERT_EQ(run({"pki", "init", "--consortium", "c", "--host", "127.0.0.1"}).exit_code, 0);
  EXPECT_EQ(run({"pki", "init", "--consortium", "c", "--host", "127.0.0.1"}).exit_code, 6);
  const ProgramResult created = run({"study", "create", absl::StrCat(ATTUNE_SOURCE_DIR, "/configs/study.yaml")});
  EXPECT_EQ(created.exit_code, 0) << created.output;
  EXPECT_EQ(run({"study", "show", "abide-thickness"}).exit_code, 0);
  EXPECT_EQ(run({"study", "show", "another"}).exit_code, 3);
}

TEST(Coordinator, Estimate_FromAnswerFiles_GivesTheSitesModels) {
  const TempFolder temp;
  const std::string work = Out() + "/work";
  const ProgramResult exported =
      RunProgram("attune-coordinator", {"--dir", Out() + "/coordinator", "export", "demo", "--out", temp / "export"});
  ASSERT_EQ(exported.exit_code, 0) << exported.output;
  const std::string manifest = temp / "export/manifest.bin";
  std::vector<std::string> arguments = {"estimate", "--manifest", manifest, "--out", temp / "out"};
  for (const char* site : {"aachen", "bergen", "cardiff", "davos"}) {
    // What `attune-site answer` writes, from each site's own folder.
    const std::string answer = temp / (std::string(site) + ".answer");
    const ProgramResult made = RunProgram(
        "attune-site", {"--dir", absl::StrCat(work, "/sites/", site), "answer", "--manifest", manifest, "--out", answer});
    ASSERT_EQ(made.exit_code, 0) << made.output;
    arguments.push_back(answer);
  }
  const ProgramResult run = RunProgram("attune-coordinator", arguments);
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(ReadText(temp / "out/summary.json"), ReadText(Out() + "/summary.json"));
  // The site's own model says the same of its batches.
  EXPECT_EQ(ReadText(temp / "out/model-davos.json"), ReadText(Out() + "/models/davos.json"));
  EXPECT_EQ(RunProgram("attune-coordinator", arguments).exit_code, 6);
}

// ---- attune-site ----

std::string OnePerson(const TempFolder& temp, const std::string& scanner) {
  return temp.Write("people.tsv",
                    absl::StrCat("participant_id\tsite\tscanner\tage\tsex\nsub-9999\tdavos\t", scanner, "\t50\tF\n"));
}

TEST(Site, Apply_OneNewSubjectOfAKnownBatch) {
  const TempFolder temp;
  // A person whom the simulation harmonized too: the model must give the same values.
  const NaiveTable people = ReadNaive(Out() + "/data/participants.tsv");
  const NaiveTable thickness = ReadNaive(Out() + "/data/thickness.tsv");
  const NaiveTable harmonized = ReadNaive(Out() + "/harmonized.tsv");
  const std::size_t last = people.rows.size() - 1;
  const std::string participants =
      temp.Write("p.tsv", absl::StrCat(absl::StrJoin(people.header, "\t"), "\n", absl::StrJoin(people.rows[last], "\t"), "\n"));
  const std::string features = temp.Write(
      "f.tsv", absl::StrCat(absl::StrJoin(thickness.header, "\t"), "\n", absl::StrJoin(thickness.rows[last], "\t"), "\n"));
  const ProgramResult run = RunProgram("attune-site", {"apply", "--model", Out() + "/models/davos.json", "--participants",
                                                       participants, "--features", features, "--out", temp / "out"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const NaiveTable result = ReadNaive(temp / "out/desc-harmonized_features.tsv");
  ASSERT_EQ(result.rows.size(), 1u);
  EXPECT_EQ(result.rows[0], harmonized.rows[last]);
}

TEST(Site, Apply_UnknownBatch_NamesTheKnownOnes) {
  const TempFolder temp;
  const NaiveTable thickness = ReadNaive(Out() + "/data/thickness.tsv");
  std::vector<std::string> row = thickness.rows[0];
  row[0] = "sub-9999";
  const std::string features =
      temp.Write("f.tsv", absl::StrCat(absl::StrJoin(thickness.header, "\t"), "\n", absl::StrJoin(row, "\t"), "\n"));
  const ProgramResult run =
      RunProgram("attune-site", {"apply", "--model", Out() + "/models/davos.json", "--participants", OnePerson(temp, "terra"),
                                 "--features", features, "--out", temp / "out"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_THAT(run.output, HasSubstr("terra"));
  EXPECT_THAT(run.output, HasSubstr("mr750"));
  EXPECT_THAT(run.output, HasSubstr("skyra"));
  EXPECT_FALSE(fs::exists(temp / "out/desc-harmonized_features.tsv"));
}

TEST(Site, Apply_NoBatchColumn_IsNeverGuessed) {
  const TempFolder temp;
  const NaiveTable thickness = ReadNaive(Out() + "/data/thickness.tsv");
  std::vector<std::string> row = thickness.rows[0];
  row[0] = "sub-9999";
  const std::string features =
      temp.Write("f.tsv", absl::StrCat(absl::StrJoin(thickness.header, "\t"), "\n", absl::StrJoin(row, "\t"), "\n"));
  // A site with one scanner: still nobody said that this person was on it.
  const std::string participants = temp.Write("p.tsv", "participant_id\tScanner\tage\tsex\nsub-9999\tterra\t50\tF\n");
  const auto apply = [&](const std::string& people, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"apply",          "--model", Out() + "/models/bergen.json",
                                          "--participants", people,    "--features",
                                          features,         "--out",   temp / "out"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram("attune-site", arguments);
  };
  const ProgramResult refused = apply(participants, {});
  EXPECT_EQ(refused.exit_code, 3) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("no column 'scanner'"));
  const ProgramResult unknown = apply(participants, {"--batch", "terra"});
  EXPECT_EQ(unknown.exit_code, 3) << unknown.output;
  EXPECT_THAT(unknown.output, HasSubstr("bergen/ingenia"));
  EXPECT_EQ(apply(OnePerson(temp, "terra"), {"--batch", "ingenia"}).exit_code, 3) << "a column says otherwise";
  const ProgramResult said = apply(participants, {"--batch", "ingenia"});
  ASSERT_EQ(said.exit_code, 0) << said.output;
  EXPECT_THAT(ReadText(temp / "out/desc-harmonized_features.json"), HasSubstr("bergen/ingenia"));
}

TEST(Site, Apply_DamagedModel_IsAnErrorNotACrash) {
  const TempFolder temp;
  const std::string model = ReadText(Out() + "/models/davos.json");
  for (const auto& [from, to] :
       std::map<std::string, std::string>{{"\"gamma\"", "\"gamm\""}, {"\"combat/1\"", "\"combat/9\""}}) {
    const std::string damaged = temp.Write("model.json", absl::StrReplaceAll(model, {{from, to}}));
    const ProgramResult run =
        RunProgram("attune-site", {"apply", "--model", damaged, "--participants", Out() + "/work/sites/davos/participants.tsv",
                                   "--features", Out() + "/work/sites/davos/features-1.tsv", "--out", temp / "out"});
    EXPECT_EQ(run.exit_code, 3) << run.output;
    EXPECT_FALSE(fs::exists(temp / "out/desc-harmonized_features.tsv"));
  }
}

TEST(Site, HarmonizedTable_IsRefusedAsInput) {
  const TempFolder temp;
  const ProgramResult run =
      RunProgram("attune-site", {"local", "--study", Out() + "/data/study.yaml", "--site", "davos", "--participants",
                                 Out() + "/work/sites/davos/participants.tsv", "--features",
                                 Out() + "/sites/davos/desc-harmonized_features.tsv", "--out", temp / "out"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_THAT(run.output, HasSubstr("demo"));
  EXPECT_THAT(run.output, HasSubstr("--force"));
}

TEST(Site, Local_HarmonizesTheScannersOfOneSite) {
  const TempFolder temp;
  const std::vector<std::string> arguments = {"local",
                                              "--study",
                                              Out() + "/data/study.yaml",
                                              "--site",
                                              "davos",
                                              "--participants",
                                              Out() + "/work/sites/davos/participants.tsv",
                                              "--features",
                                              Out() + "/work/sites/davos/features-1.tsv",
                                              "--out",
                                              temp / "out"};
  const ProgramResult run = RunProgram("attune-site", arguments);
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_TRUE(fs::exists(temp / "out/model.json"));
  EXPECT_EQ(RunProgram("attune-site", arguments).exit_code, 6);
}

TEST(Site, NotApproved_Is4AndSendsNothing) {
  const TempFolder temp;
  fs::copy(Out() + "/work/sites/davos", temp / "davos", fs::copy_options::recursive);
  fs::remove(temp / "davos/studies/demo/approval.json");
  const ProgramResult run = RunProgram("attune-site", {"--dir", temp / "davos", "run", "demo", "--patience", "1"});
  EXPECT_EQ(run.exit_code, 4) << run.output;
  EXPECT_THAT(run.output, HasSubstr("attune-site approve"));
}

TEST(Site, CoordinatorGone_Is5) {
  const TempFolder temp;
  fs::copy(Out() + "/work/sites/davos", temp / "davos", fs::copy_options::recursive);
  fs::remove_all(temp / "davos/derivative");
  const ProgramResult run = RunProgram("attune-site", {"--dir", temp / "davos", "run", "demo", "--patience", "1"});
  EXPECT_EQ(run.exit_code, 5) << run.output;
}

// ---- Nothing private ----

TEST(Privacy, NoRowOfAnyPersonInWhatLeftTheSites) {
  std::map<std::string, std::string> sent = FilesBelow(Out() + "/coordinator");
  sent.merge(FilesBelow(Out() + "/models"));
  sent["summary.json"] = ReadText(Out() + "/summary.json");
  sent["log"] = ReadText(Out() + "/work/logs/coordinator.log");
  for (const auto& [name, bytes] : sent) {
    EXPECT_THAT(bytes, Not(HasSubstr("sub-"))) << name;
    EXPECT_THAT(bytes, Not(HasSubstr("/work/sites/"))) << name;
    EXPECT_THAT(bytes, Not(HasSubstr("participants.tsv"))) << name;
  }
  // No measured value of anybody as eight bytes of a bundle: three digits each, of which none may occur by chance as a mean.
  const NaiveTable thickness = ReadNaive(Out() + "/data/thickness.tsv");
  for (const auto& [name, bytes] : FilesBelow(Out() + "/coordinator/blobs")) {
    for (std::size_t row = 0; row < thickness.rows.size(); ++row) {
      const double value = Number(thickness.rows[row][1]);
      const std::string pattern(reinterpret_cast<const char*>(&value), sizeof(value));
      EXPECT_EQ(bytes.find(pattern), std::string::npos) << name << " holds a value of row " << row;
    }
  }
}

}  // namespace
}  // namespace attune::testing

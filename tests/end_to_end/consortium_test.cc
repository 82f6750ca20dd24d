// SPDX-License-Identifier: Apache-2.0
//
// A consortium as the README sets it up, command by command, with the programs of both sides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/digest.h"
#include "common/wire/bundle.h"
#include "coordinator/simulate/process.h"
#include "coordinator/simulate/split.h"
#include "coordinator/simulate/synthetic.h"
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

// A coordinator that serves on a port of its own, and the made-up consortium's data in one folder per site.
class ConsortiumTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(SyntheticConsortium(1).Write(temp_ / "data"));
    ASSERT_OK_AND_ASSIGN(sites_, SplitBySite(SyntheticConsortium::DataIn(temp_ / "data"), temp_ / "sites"));
    for (const std::string& site : sites_) WritePolicy(temp_ / ("sites/" + site));
    const ProgramResult pki = Coordinator({"--quiet", "pki", "init", "--consortium", "net", "--host", "127.0.0.1"});
    ASSERT_EQ(pki.exit_code, 0) << pki.output;
    fingerprint_ = std::string(absl::StripAsciiWhitespace(pki.output));
    ASSERT_OK_AND_ASSIGN(Process serve, Process::Start({ProgramPath("attune-coordinator"), "--dir", temp_ / "coordinator",
                                                        "serve", "--listen", "127.0.0.1:0"},
                                                       {}, temp_ / "serve.log"));
    serve_.emplace(std::move(serve));
    for (int attempt = 0; attempt < 6000 && !fs::exists(temp_ / "coordinator/endpoint"); ++attempt) {
      ASSERT_FALSE(serve_->WaitFor(0.01).has_value()) << temp_.Read("serve.log");
    }
    endpoint_ = std::string(absl::StripAsciiWhitespace(temp_.Read("coordinator/endpoint")));
  }

  ProgramResult Coordinator(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--dir", temp_ / "coordinator"});
    return RunProgram("attune-coordinator", arguments);
  }

  ProgramResult Site(const std::string& site, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--dir", temp_ / ("sites/" + site)});
    return RunProgram("attune-site", arguments);
  }

  std::string Invite(const std::string& site) const {
    const std::string file = temp_ / (site + ".invitation.json");
    const ProgramResult invited = Coordinator({"--quiet", "site", "invite", site, "--coordinator", endpoint_, "--out", file});
    EXPECT_EQ(invited.exit_code, 0) << invited.output;
    EXPECT_EQ(std::string(absl::StripAsciiWhitespace(invited.output)), fingerprint_);
    return file;
  }

  // All that comes before the sites approve.
  void Prepare(const std::string& study_file) {
    for (const std::string& site : sites_) {
      const ProgramResult enrolled = Site(site, {"enroll", "--invitation", Invite(site), "--fingerprint", fingerprint_});
      ASSERT_EQ(enrolled.exit_code, 0) << enrolled.output;
    }
    const ProgramResult created = Coordinator({"study", "create", study_file});
    ASSERT_EQ(created.exit_code, 0) << created.output;
    for (const std::string& site : sites_) {
      const ProgramResult registered = Site(site, {"register", "demo"});
      ASSERT_EQ(registered.exit_code, 0) << registered.output;
    }
    const ProgramResult started = Coordinator({"--quiet", "study", "start", "demo"});
    ASSERT_EQ(started.exit_code, 0) << started.output;
    manifest_ = std::string(absl::StripAsciiWhitespace(started.output));
    ASSERT_TRUE(IsSha256Hex(manifest_)) << manifest_;
  }

  // All sites at once.
  void RunAll() {
    std::map<std::string, Process> running;
    for (const std::string& site : sites_) {
      ASSERT_OK_AND_ASSIGN(Process process,
                           Process::Start({ProgramPath("attune-site"), "--dir", temp_ / ("sites/" + site), "run", "demo"}, {},
                                          temp_ / (site + ".log")));
      running.emplace(site, std::move(process));
    }
    for (auto& [site, process] : running) {
      const auto end = process.WaitFor(120);
      ASSERT_TRUE(end.has_value()) << site;
      ASSERT_EQ(end->exit_code, 0) << temp_.Read(site + ".log");
    }
  }

  TempFolder temp_;
  std::vector<std::string> sites_;
  std::string fingerprint_;
  std::string endpoint_;
  std::string manifest_;
  std::optional<Process> serve_;
};

// The numbers of a preview by block, in the order of a bundle.
std::map<std::string, std::vector<double>> ReadPreview(const std::string& path) {
  std::map<std::string, std::vector<double>> values;
  const NaiveTable table = ReadNaive(path);
  EXPECT_EQ(table.header, (std::vector<std::string>{"batch", "block", "row", "feature", "value"}));
  for (const auto& row : table.rows) values[absl::StrCat(row[0], " ", row[1])].push_back(std::strtod(row[4].c_str(), nullptr));
  return values;
}

TEST_F(ConsortiumTest, AsTheReadmeSetsItUp) {
  ASSERT_NO_FATAL_FAILURE(Prepare(SyntheticConsortium::StudyFileIn(temp_ / "data")));
  const ProgramResult list = Coordinator({"site", "list"});
  for (const std::string& site : sites_) EXPECT_THAT(list.output, HasSubstr(site));

  const ProgramResult check = Site("davos", {"check", "--study", "demo"});
  EXPECT_EQ(check.exit_code, 0) << check.output;
  EXPECT_THAT(check.output, AllOf(HasSubstr("davos/skyra"), HasSubstr("55"), HasSubstr("40: lh_region01_thickness")));

  // Preview sends nothing and needs no approval.
  const std::string preview_file = temp_ / "preview.tsv";
  const ProgramResult preview = Site("davos", {"preview", "demo", "--out", preview_file});
  ASSERT_EQ(preview.exit_code, 0) << preview.output;
  EXPECT_THAT(preview.output, AllOf(HasSubstr(manifest_), HasSubstr("passed   at least 10 people behind every sum"),
                                    HasSubstr("Not approved yet"), Not(HasSubstr("REFUSED"))));
  EXPECT_EQ(Site("davos", {"run", "demo"}).exit_code, 4) << "nobody approved";
  EXPECT_EQ(Site("davos", {"preview", "demo", "--out", preview_file}).exit_code, 6);

  const ProgramResult wrong = Site("davos", {"approve", "demo", "--hash", std::string(64, '0')});
  EXPECT_EQ(wrong.exit_code, 4) << wrong.output;
  EXPECT_THAT(wrong.output, HasSubstr("nothing was approved"));
  EXPECT_EQ(Site("davos", {"approve", "demo"}).exit_code, 3) << "no terminal to ask on";
  EXPECT_FALSE(fs::exists(temp_ / "sites/davos/studies/demo/approval.json"));
  for (const std::string& site : sites_) {
    const ProgramResult approved = Site(site, {"approve", "demo", "--hash", manifest_});
    ASSERT_EQ(approved.exit_code, 0) << approved.output;
  }
  EXPECT_THAT(Site("davos", {"preview", "demo"}).output, HasSubstr("Approved: 'run' sends this."));
  ASSERT_NO_FATAL_FAILURE(RunAll());

  // What was previewed is what was sent: every number, in number and value.
  const std::map<std::string, std::vector<double>> previewed = ReadPreview(preview_file);
  ASSERT_OK_AND_ASSIGN(const Bundle sent, OpenBundle(temp_ / "sites/davos/studies/demo/answer-1.bundle", v1::BUNDLE_KIND_ANSWER,
                                                     {manifest_, 1, ""}));
  std::size_t blocks = 0;
  for (const auto& [batch, summary] : sent.parts) {
    for (const BlockSpec& spec : summary.form()) {
      const auto block = summary[spec.name];
      const auto found = previewed.find(absl::StrCat(batch, " ", spec.name));
      ASSERT_NE(found, previewed.end()) << batch << " " << spec.name;
      EXPECT_EQ(found->second, std::vector<double>(block.data(), block.data() + block.size())) << batch << " " << spec.name;
      ++blocks;
    }
  }
  EXPECT_EQ(blocks, previewed.size());
  const ProgramResult ledger = Site("davos", {"ledger"});
  EXPECT_EQ(ledger.exit_code, 0) << ledger.output;
  EXPECT_THAT(ledger.output, AllOf(HasSubstr(absl::StrCat("demo\t", manifest_)), HasSubstr("davos/mr750, davos/skyra\tn/a"),
                                   Not(HasSubstr("sub-"))));

  // The numbers of the simulator.
  EXPECT_TRUE(fs::exists(temp_ / "sites/davos/derivatives/demo/model.json"));
  const ProgramResult simulated = Simulate(temp_ / "out", {"--demo", "--quiet"});
  ASSERT_EQ(simulated.exit_code, 0) << simulated.output;
  for (const std::string& site : sites_) {
    EXPECT_EQ(temp_.Read(absl::StrCat("sites/", site, "/derivatives/demo/desc-harmonized_features.tsv")),
              temp_.Read(absl::StrCat("out/sites/", site, "/desc-harmonized_features.tsv")));
  }

  const ProgramResult show = Coordinator({"study", "show", "demo", "--json"});
  EXPECT_THAT(show.output, AllOf(HasSubstr("\"state\": \"complete\""), HasSubstr(manifest_)));
  EXPECT_THAT(Coordinator({"study", "list"}).output, AllOf(HasSubstr("demo"), HasSubstr("complete")));
  EXPECT_EQ(Coordinator({"verify", "demo"}).exit_code, 0);
  EXPECT_EQ(Coordinator({"study", "close", "demo"}).exit_code, 0);
  EXPECT_THAT(Coordinator({"study", "list"}).output, HasSubstr("closed"));
  // The coordinator ends when it is asked to, at once.
  serve_->Stop();
  EXPECT_EQ(serve_->Poll()->exit_code, 0) << temp_.Read("serve.log");
}

TEST_F(ConsortiumTest, ByFolder_CarriedByHand) {
  // The stick is with the coordinator only while this runs.
  const auto carried_until = [&](const std::string& words, const std::vector<std::string>& command) {
    ASSERT_OK_AND_ASSIGN(Process folders, Process::Start({ProgramPath("attune-coordinator"), "--dir", temp_ / "coordinator",
                                                          "serve", "--no-grpc", "--folder", temp_ / "stick"},
                                                         {}, temp_ / "folders.log"));
    std::string output;
    for (int attempt = 0; attempt < 600 && !absl::StrContains(output, words); ++attempt) {
      output = Coordinator(command).output;
    }
    ASSERT_THAT(output, HasSubstr(words)) << temp_.Read("folders.log");
    // One more sweep brings the inboxes up to date with what was just read.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    folders.Stop();
    EXPECT_EQ(folders.Poll()->exit_code, 0) << temp_.Read("folders.log");
  };
  const std::vector<std::string> show = {"study", "show", "demo", "--json"};
  ASSERT_EQ(Coordinator({"study", "create", SyntheticConsortium::StudyFileIn(temp_ / "data")}).exit_code, 0);
  const auto enroll = [&](const std::string& site) {
    return Site(site, {"enroll", "--invitation", temp_ / (site + ".json"), "--fingerprint", fingerprint_, "--folder",
                       temp_ / ("stick/" + site)});
  };
  for (const std::string& site : sites_) {
    fs::create_directories(temp_ / ("stick/" + site));
    ASSERT_EQ(Coordinator({"site", "invite", site, "--folder", "--out", temp_ / (site + ".json")}).exit_code, 0);
    const ProgramResult asked = enroll(site);
    EXPECT_EQ(asked.exit_code, 5) << asked.output;
    EXPECT_THAT(asked.output, HasSubstr("bring the folder to the coordinator and back"));
  }
  ASSERT_NO_FATAL_FAILURE(carried_until("\"recruiting\"", show));
  for (const std::string& site : sites_) {
    const ProgramResult enrolled = enroll(site);
    ASSERT_EQ(enrolled.exit_code, 0) << enrolled.output;
    EXPECT_FALSE(fs::exists(temp_ / absl::StrCat("stick/", site, "/outbox/enroll.pb")));
  }
  ASSERT_NO_FATAL_FAILURE(carried_until("\"recruiting\"", show));
  for (const std::string& site : sites_) ASSERT_EQ(Site(site, {"register", "demo"}).exit_code, 0);
  ASSERT_NO_FATAL_FAILURE(carried_until("\"site\": \"davos\"", show));
  const ProgramResult started = Coordinator({"--quiet", "study", "start", "demo"});
  ASSERT_EQ(started.exit_code, 0) << started.output;
  manifest_ = std::string(absl::StripAsciiWhitespace(started.output));
  EXPECT_EQ(Site("davos", {"approve", "demo", "--hash", manifest_}).exit_code, 3) << "the manifest has not come yet";
  ASSERT_NO_FATAL_FAILURE(carried_until("\"running\"", show));
  for (const std::string& site : sites_) {
    ASSERT_EQ(Site(site, {"approve", "demo", "--hash", manifest_}).exit_code, 0);
    // Answers, and says that the stick has to travel: once, or as often as it is asked.
    for (int i = 0; i < 2; ++i) {
      const ProgramResult run = Site(site, {"run", "demo"});
      EXPECT_EQ(run.exit_code, 5) << run.output;
      EXPECT_THAT(run.output, HasSubstr("the answer to round 1 lies in the outbox; bring the folder to the coordinator"));
    }
  }
  ASSERT_NO_FATAL_FAILURE(carried_until("\"corrected\"", show));
  for (const std::string& site : sites_) {
    for (int i = 0; i < 2; ++i) {
      const ProgramResult run = Site(site, {"run", "demo"});
      EXPECT_EQ(run.exit_code, i == 0 ? 0 : 5) << run.output;
      EXPECT_TRUE(fs::exists(temp_ / absl::StrCat("sites/", site, "/derivatives/demo/model.json")));
    }
  }
  ASSERT_NO_FATAL_FAILURE(carried_until("\"complete\"", show));
  const ProgramResult done = Site("davos", {"run", "demo"});
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("has done its part"));

  // Both sides can say what happened, and that the record is whole.
  const ProgramResult audit = Site("davos", {"audit", "show"});
  EXPECT_THAT(audit.output,
              AllOf(HasSubstr("\"enrolled\""), HasSubstr("\"registered\""), HasSubstr("\"approved\""), HasSubstr(manifest_)));
  EXPECT_EQ(Site("davos", {"audit", "verify"}).exit_code, 0);
  EXPECT_EQ(Site("davos", {"audit", "export", "--out", temp_ / "davos.jsonl"}).exit_code, 0);
  EXPECT_EQ(Coordinator({"audit", "export", "--out", temp_ / "coordinator.jsonl"}).exit_code, 0);
  EXPECT_THAT(temp_.Read("coordinator.jsonl"), AllOf(HasSubstr("study start demo"), HasSubstr("file outbox/demo.register.pb")));
  std::string log = temp_.Read("sites/davos/audit/audit.jsonl");
  log.replace(log.find("enrolled"), 8, "enrolles");
  temp_.Write("sites/davos/audit/audit.jsonl", log);
  const ProgramResult changed = Site("davos", {"audit", "verify"});
  EXPECT_EQ(changed.exit_code, 1) << changed.output;
  EXPECT_THAT(changed.output, HasSubstr("line 1"));
}

TEST_F(ConsortiumTest, Enroll_WrongFingerprintUsedTokenAndOthersName) {
  const std::string invitation = Invite("davos");
  const ProgramResult wrong = Site("davos", {"enroll", "--invitation", invitation, "--fingerprint", std::string(64, '0')});
  EXPECT_EQ(wrong.exit_code, 5) << wrong.output;
  EXPECT_THAT(wrong.output, HasSubstr("fingerprint"));
  ASSERT_EQ(Site("davos", {"enroll", "--invitation", invitation, "--fingerprint", fingerprint_}).exit_code, 0);
  EXPECT_EQ(Site("davos", {"enroll", "--invitation", invitation, "--fingerprint", fingerprint_}).exit_code, 6) << "enrolled";
  const ProgramResult used = Site("bergen", {"enroll", "--invitation", invitation, "--fingerprint", fingerprint_});
  EXPECT_EQ(used.exit_code, 5) << used.output;
  EXPECT_THAT(used.output, HasSubstr("another site's, has expired, or was used"));
  EXPECT_FALSE(fs::exists(temp_ / "sites/bergen/identity/identity.json"));
  const ProgramResult unknown = Site("davos", {"register", "nothing"});
  EXPECT_EQ(unknown.exit_code, 3) << unknown.output;
  EXPECT_THAT(unknown.output, HasSubstr("'nothing' is unknown"));
}

TEST_F(ConsortiumTest, MissingValues_NeedApprovalByName) {
  // One value of one person of davos is missing: a difference of one person between two features.
  const NaiveTable table = ReadNaive(temp_ / "sites/davos/features-1.tsv");
  std::string text = absl::StrCat(absl::StrJoin(table.header, "\t"), "\n");
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    std::vector<std::string> row = table.rows[r];
    if (r == 3) row[2] = "n/a";
    absl::StrAppend(&text, absl::StrJoin(row, "\t"), "\n");
  }
  temp_.Write("sites/davos/features-1.tsv", text);
  for (const std::string& site : sites_) WritePolicy(temp_ / ("sites/" + site), "release: per_batch\nmissing: allow\n");
  ASSERT_NO_FATAL_FAILURE(Prepare(temp_.Write(
      "study.yaml", "study: demo\nbatch: scanner\nfeatures: {table: {columns: \"*\"}}\nmethod: {combat: {missing: allow}}\n")));
  const ProgramResult preview = Site("davos", {"preview", "demo", "--out", temp_ / "preview.tsv"});
  EXPECT_EQ(preview.exit_code, 4) << preview.output;
  EXPECT_THAT(preview.output, AllOf(HasSubstr("REFUSED  missing values: no two features whose people differ in 1 to 4"),
                                    HasSubstr("differ in 1")));
  EXPECT_FALSE(fs::exists(temp_ / "preview.tsv"));

  const auto approve = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"approve", "demo", "--hash", manifest_};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return Site("davos", arguments).exit_code;
  };
  ASSERT_EQ(approve({}), 0);
  const ProgramResult unnamed = Site("davos", {"run", "demo"});
  EXPECT_EQ(unnamed.exit_code, 4) << unnamed.output;
  EXPECT_THAT(unnamed.output, HasSubstr("--allow-missing"));
  ASSERT_EQ(approve({"--allow-missing"}), 0);
  const ProgramResult few = Site("davos", {"run", "demo"});
  EXPECT_EQ(few.exit_code, 4) << few.output;
  EXPECT_THAT(few.output, HasSubstr("--allow-missing-any-difference"));
  EXPECT_THAT(Coordinator({"study", "show", "demo"}).output, HasSubstr("refused_by_policy"));
  EXPECT_THAT(temp_.Read("serve.log"), Not(HasSubstr("differ in"))) << "only that it was refused is told";

  EXPECT_EQ(approve({"--allow-missing-any-difference"}), 4) << "an approval goes no further than the policy";
  WritePolicy(temp_ / "sites/davos", "release: per_batch\nmissing: any_difference\n");
  ASSERT_EQ(approve({"--allow-missing-any-difference"}), 0);
  for (const std::string& site : sites_) {
    if (site == "davos") continue;
    ASSERT_EQ(Site(site, {"approve", "demo", "--hash", manifest_, "--allow-missing"}).exit_code, 0);
  }
  ASSERT_NO_FATAL_FAILURE(RunAll());
  EXPECT_EQ(ReadNaive(temp_ / "sites/davos/derivatives/demo/desc-harmonized_features.tsv").rows[3][2], "n/a");
}

TEST_F(ConsortiumTest, Policy_WithoutOneNothingLeaves) {
  ASSERT_NO_FATAL_FAILURE(Prepare(SyntheticConsortium::StudyFileIn(temp_ / "data")));
  ASSERT_EQ(Site("davos", {"approve", "demo", "--hash", manifest_}).exit_code, 0);
  fs::remove(temp_ / "sites/davos/policy.yaml");
  ASSERT_EQ(Coordinator({"export", "demo", "--out", temp_ / "export"}).exit_code, 0);
  const std::vector<std::vector<std::string>> commands = {
      {"register", "demo"},
      {"preview", "demo"},
      {"approve", "demo", "--yes"},
      {"run", "demo"},
      {"answer", "--manifest", temp_ / "export/manifest.bin", "--out", temp_ / "answer"}};
  for (const std::vector<std::string>& command : commands) {
    const ProgramResult result = Site("davos", command);
    EXPECT_EQ(result.exit_code, 3) << command[0] << result.output;
    EXPECT_THAT(result.output, HasSubstr("attune-site policy init")) << command[0];
  }
  EXPECT_FALSE(fs::exists(temp_ / "answer"));
  EXPECT_EQ(Site("davos", {"check", "demo"}).exit_code, 0) << "sends nothing";

  // A policy that allows nothing, then one that allows what the study asks.
  ASSERT_EQ(Site("davos", {"policy", "init"}).exit_code, 0);
  EXPECT_EQ(Site("davos", {"policy", "init"}).exit_code, 6);
  EXPECT_THAT(Site("davos", {"policy", "show"}).output, HasSubstr("studies             none is allowed"));
  const ProgramResult refused = Site("davos", {"preview", "demo"});
  EXPECT_EQ(refused.exit_code, 4) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("does not allow the study demo"));
  ASSERT_EQ(Site("davos", {"policy", "init", "--study", "demo", "--force"}).exit_code, 0);
  const ProgramResult allowed = Site("davos", {"preview", "demo"});
  EXPECT_EQ(allowed.exit_code, 0) << allowed.output;

  // The simulator's policy counts only there.
  WritePolicy(temp_ / "sites/davos", "release: per_batch\npermissive_test: true\n");
  for (const char* command : {"register", "preview", "run"}) {
    const ProgramResult result = Site("davos", {command, "demo"});
    EXPECT_EQ(result.exit_code, 4) << result.output;
    EXPECT_THAT(result.output, HasSubstr("only in attune-simulate")) << command;
  }
}

TEST_F(ConsortiumTest, Policy_ApprovesAManifestAndOverridesTheLedger) {
  ASSERT_NO_FATAL_FAILURE(Prepare(SyntheticConsortium::StudyFileIn(temp_ / "data")));
  for (const std::string& site : sites_) {
    WritePolicy(temp_ / ("sites/" + site), absl::StrCat("release: per_batch\napproved_manifests: ", manifest_, "\n"));
  }
  ASSERT_NO_FATAL_FAILURE(RunAll());

  // Another study on the same people.
  std::string study = ReadText(SyntheticConsortium::StudyFileIn(temp_ / "data"));
  study.replace(study.find("study: demo"), 11, "study: next");
  ASSERT_EQ(Coordinator({"study", "create", temp_.Write("next.yaml", study)}).exit_code, 0);
  for (const std::string& site : sites_) ASSERT_EQ(Site(site, {"register", "next"}).exit_code, 0);
  ASSERT_EQ(Coordinator({"study", "start", "next"}).exit_code, 0);
  const ProgramResult preview = Site("davos", {"preview", "next"});
  EXPECT_EQ(preview.exit_code, 4) << preview.output;
  EXPECT_THAT(preview.output, HasSubstr("released 1 time before (study 'demo' of"));
  ASSERT_EQ(Site("davos", {"approve", "next", "--yes", "--override-ledger", "agreed on Monday"}).exit_code, 0);
  const ProgramResult overridden = Site("davos", {"preview", "next"});
  EXPECT_EQ(overridden.exit_code, 0) << overridden.output;
  EXPECT_THAT(overridden.output, HasSubstr("overridden, \"agreed on Monday\""));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
//
// Machines that fail under a study: a disk that fills up, files that rot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "coordinator/simulate/process.h"
#include "coordinator/simulate/split.h"
#include "coordinator/simulate/synthetic.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// A file system of so many bytes, for as long as this lives; only root may make one.
class SmallDisk {
 public:
  SmallDisk(std::string path, const std::string& size) : path_(std::move(path)) {
    fs::create_directories(path_);
    mounted_ = ::mount("attune-test", path_.c_str(), "tmpfs", 0, absl::StrCat("mode=700,size=", size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void Grow(const std::string& size) const {
    ASSERT_EQ(::mount("attune-test", path_.c_str(), "tmpfs", MS_REMOUNT, absl::StrCat("mode=700,size=", size).c_str()), 0);
  }

 private:
  const std::string path_;
  bool mounted_;
};

TEST(Faults, CoordinatorsDiskFillsUp_TheStudyGoesOnWhenThereIsRoomAgain) {
  const TempFolder temp;
  const SmallDisk disk(temp / "coordinator", "20M");
  if (!disk.mounted()) GTEST_SKIP() << "only root may mount a small disk";
  ASSERT_OK(SyntheticConsortium(1).Write(temp / "data"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> sites,
                       SplitBySite(SyntheticConsortium::DataIn(temp / "data"), temp / "sites"));
  const auto coordinator = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--quiet", "--dir", temp / "coordinator"});
    const ProgramResult result = RunProgram("attune-coordinator", arguments);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return std::string(absl::StripAsciiWhitespace(result.output));
  };
  const auto site_command = [&](const std::string& site, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--dir", temp / ("sites/" + site)});
    return arguments;
  };
  const std::string fingerprint = coordinator({"pki", "init", "--consortium", "net", "--host", "127.0.0.1"});
  ASSERT_OK_AND_ASSIGN(Process serve, Process::Start({ProgramPath("attune-coordinator"), "--dir", temp / "coordinator", "serve",
                                                      "--listen", "127.0.0.1:0"},
                                                     {}, temp / "serve.log"));
  for (int attempt = 0; attempt < 1000 && !fs::exists(temp / "coordinator/endpoint"); ++attempt) {
    ASSERT_FALSE(serve.WaitFor(0.01).has_value()) << temp.Read("serve.log");
  }
  const std::string endpoint(absl::StripAsciiWhitespace(temp.Read("coordinator/endpoint")));
  for (const std::string& site : sites) {
    WritePolicy(temp / ("sites/" + site));
    const std::string invitation = temp / (site + ".json");
    coordinator({"site", "invite", site, "--coordinator", endpoint, "--out", invitation});
    ASSERT_EQ(
        RunProgram("attune-site", site_command(site, {"enroll", "--invitation", invitation, "--fingerprint", fingerprint}))
            .exit_code,
        0);
  }
  coordinator({"study", "create", SyntheticConsortium::StudyFileIn(temp / "data"), "--release", "pooled"});
  for (const std::string& site : sites) {
    ASSERT_EQ(RunProgram("attune-site", site_command(site, {"register", "demo"})).exit_code, 0);
  }
  coordinator({"study", "start", "demo"});
  for (const std::string& site : sites) {
    ASSERT_EQ(RunProgram("attune-site", site_command(site, {"approve", "demo", "--yes"})).exit_code, 0);
  }
  // Somebody else's file takes what room is left.
  {
    std::ofstream filler(temp / "coordinator/filler", std::ios::binary);
    const std::string block(64 << 10, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  std::vector<Process> running;
  for (const std::string& site : sites) {
    std::vector<std::string> run = site_command(site, {"run", "demo"});
    run.insert(run.begin(), ProgramPath("attune-site"));
    ASSERT_OK_AND_ASSIGN(Process process, Process::Start(run, {}, temp / (site + ".log")));
    running.push_back(std::move(process));
  }
  std::this_thread::sleep_for(std::chrono::seconds(2));
  for (Process& process : running)
    ASSERT_FALSE(process.Poll().has_value()) << "a full disk at the other end is no reason to give up";
  EXPECT_FALSE(serve.Poll().has_value()) << temp.Read("serve.log");
  fs::remove(temp / "coordinator/filler");
  for (std::size_t k = 0; k < running.size(); ++k) {
    const auto end = running[k].WaitFor(120);
    ASSERT_TRUE(end.has_value()) << sites[k];
    EXPECT_EQ(end->exit_code, 0) << temp.Read(sites[k] + ".log");
  }
  EXPECT_THAT(coordinator({"study", "show", "demo"}), HasSubstr("complete"));
  EXPECT_EQ(RunProgram("attune-coordinator", {"--dir", temp / "coordinator", "verify", "demo"}).exit_code, 0);
  serve.Stop();
}

TEST(Faults, RottenBlobOrJournal_IsFoundAndNotUsed) {
  const TempFolder temp;
  ASSERT_EQ(Simulate(temp / "out", {"--demo", "--quiet", "--release", "pooled"}).exit_code, 0);
  const std::string state = temp / "out/coordinator";
  ASSERT_EQ(RunProgram("attune-coordinator", {"--dir", state, "verify", "demo"}).exit_code, 0);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(state + "/blobs")) {
    if (!entry.is_regular_file()) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x55');
    break;
  }
  const ProgramResult blob = RunProgram("attune-coordinator", {"--dir", state, "verify", "demo"});
  EXPECT_EQ(blob.exit_code, 1) << blob.output;
  EXPECT_THAT(blob.output, HasSubstr("journal entry"));
  {
    std::fstream journal(state + "/journal.sqlite", std::ios::in | std::ios::out | std::ios::binary);
    journal.seekp(5000);
    journal << "rotten rotten rotten rotten rotten";
  }
  const ProgramResult journal = RunProgram("attune-coordinator", {"--dir", state, "verify", "demo"});
  EXPECT_EQ(journal.exit_code, 1) << journal.output;
}

}  // namespace
}  // namespace attune::testing

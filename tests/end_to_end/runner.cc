// SPDX-License-Identifier: Apache-2.0
#include "tests/end_to_end/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/simulate/process.h"

namespace attune::testing {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::string ProgramPath(const std::string& program) { return absl::StrCat(ATTUNE_BIN_DIR, "/", program); }

ProgramResult RunProgram(const std::string& program, const std::vector<std::string>& arguments) {
  static std::atomic<int> count{0};
  const std::string log = absl::StrCat(::testing::TempDir(), "/attune-log-", ::getpid(), "-", ++count);
  std::vector<std::string> command = arguments;
  command.insert(command.begin(), ProgramPath(program));
  ProgramResult result;
  auto process = Process::Start(command, {}, log);
  if (!process.ok()) {
    ADD_FAILURE() << process.status();
    return result;
  }
  if (const auto end = process->WaitFor(180)) result.exit_code = end->exit_code;
  result.output = ReadText(log);
  fs::remove(log);
  return result;
}

ProgramResult Simulate(const std::string& out, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--out", out});
  return RunProgram("attune-simulate", arguments);
}

void WritePolicy(const std::string& site_folder, const std::string& more) {
  WriteText(site_folder + "/policy.yaml", "studies: \"*\"\nmethods: \"*\"\ncovariates: \"*\"\nfeatures: \"*\"\n" + more);
}

std::map<std::string, std::string> FilesBelow(const std::string& folder, const std::vector<std::string>& without) {
  std::map<std::string, std::string> files;
  if (!fs::is_directory(folder)) return files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), folder).string();
    bool skip = false;
    for (const std::string& ending : without) skip |= absl::EndsWith(name, ending);
    if (!skip) files[name] = ReadText(entry.path().string());
  }
  return files;
}

std::map<std::string, std::string> Results(const std::string& out) {
  // The journal itself holds times, and certificates that are new in every run.
  std::map<std::string, std::string> files = FilesBelow(out + "/sites");
  files.merge(FilesBelow(out + "/models"));
  files.merge(FilesBelow(out + "/coordinator/blobs"));
  files["harmonized.tsv"] = ReadText(out + "/harmonized.tsv");
  files["summary.json"] = ReadText(out + "/summary.json");
  return files;
}

std::vector<int> ProcessesWith(const std::string& text) {
  std::vector<int> found;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid) || pid == ::getpid()) continue;
    if (absl::StrContains(ReadText(entry.path().string() + "/cmdline"), text)) found.push_back(pid);
  }
  return found;
}

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string ReadText(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace attune::testing

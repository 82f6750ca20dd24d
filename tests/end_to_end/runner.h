// SPDX-License-Identifier: Apache-2.0
//
// Runs the real programs, in a temporary folder, and looks at what they leave.
#ifndef ATTUNE_TESTS_END_TO_END_RUNNER_H_
#define ATTUNE_TESTS_END_TO_END_RUNNER_H_

#include <map>
#include <string>
#include <vector>

namespace attune::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string output;  // standard output and standard error
};

// Runs ATTUNE_BIN_DIR/<program> until it ends (at most three minutes).
ProgramResult RunProgram(const std::string& program, const std::vector<std::string>& arguments);

// Runs attune-simulate into `out`.
ProgramResult Simulate(const std::string& out, std::vector<std::string> arguments);

// A site's policy.yaml with every list open, and `more` lines.
void WritePolicy(const std::string& site_folder, const std::string& more = "release: per_batch\n");

std::string ProgramPath(const std::string& program);

// Every file below `folder` by its path from there, as bytes. Files whose name ends in one of `without` are left out.
std::map<std::string, std::string> FilesBelow(const std::string& folder, const std::vector<std::string>& without = {});

// What a run must reproduce byte for byte: the harmonized table, each site's derivative folder, the models, summary.json and
// the coordinator's blobs.
std::map<std::string, std::string> Results(const std::string& out);

// Processes other than this one in whose command line `text` occurs.
std::vector<int> ProcessesWith(const std::string& text);

void WriteText(const std::string& path, const std::string& text);
std::string ReadText(const std::string& path);

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_END_TO_END_RUNNER_H_

// SPDX-License-Identifier: Apache-2.0
//
// The commands of attune-coordinator. Data goes to stdout, talk to stderr.
#ifndef ATTUNE_COORDINATOR_COMMANDS_COMMANDS_H_
#define ATTUNE_COORDINATOR_COMMANDS_COMMANDS_H_

#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace attune {

// What the command line chose. Each Add* function declares commands that fill in `run`.
struct CommandLine {
  std::string dir = "attune-coordinator";
  std::function<absl::Status()> run;
  // What goes into the audit log of `dir` ("study start demo"); empty for a command that changes nothing.
  std::string recorded;
};

void AddPkiCommands(CLI::App& app, CommandLine& line);      // pki init
void AddSiteCommands(CLI::App& app, CommandLine& line);     // site invite|list
void AddStudyCommands(CLI::App& app, CommandLine& line);    // study create|start|show|seen|list|close
void AddServeCommand(CLI::App& app, CommandLine& line);     // serve
void AddEstimateCommand(CLI::App& app, CommandLine& line);  // estimate
void AddRecordCommands(CLI::App& app, CommandLine& line);   // verify, export
void AddAuditCommands(CLI::App& app, CommandLine& line);    // audit verify|export

// AlreadyExists, naming the first of `paths` that exists, unless `force`.
absl::Status CheckOutputs(const std::vector<std::string>& paths, bool force);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_COMMANDS_COMMANDS_H_

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
#include "coordinator/operator.h"

namespace attune {

// What the command line chose. Each Add* function declares commands that fill in `run`.
struct CommandLine {
  std::string dir = "attune-coordinator";
  std::string connect;   // host:port of a coordinator on another machine; empty: the state folder on this one
  std::string identity;  // folder of the administrator's key and certificate, with `connect`
  // The two kinds of commands: on this machine's state folder, and those that --connect may send elsewhere.
  std::function<absl::Status()> run;
  std::function<absl::Status(Operator& operator_desk)> ask;
  // What goes into the audit log of `dir` ("study start demo"); empty for a command that changes nothing. A coordinator on
  // another machine keeps its own.
  std::string recorded;
};

void AddPkiCommands(CLI::App& app, CommandLine& line);      // pki init|renew-server|admin|revoke-admin|list
void AddSiteCommands(CLI::App& app, CommandLine& line);     // site invite|list|revoke
void AddStudyCommands(CLI::App& app, CommandLine& line);    // study create|start|show|seen|list|close
void AddServeCommand(CLI::App& app, CommandLine& line);     // serve
void AddEstimateCommand(CLI::App& app, CommandLine& line);  // estimate
void AddRecordCommands(CLI::App& app, CommandLine& line);   // verify, export
void AddReportCommand(CLI::App& app, CommandLine& line);    // report
void AddAuditCommands(CLI::App& app, CommandLine& line);    // audit verify|export

// Runs the command that was chosen. InvalidArgument when --connect does not go with it.
absl::Status RunCommand(const CommandLine& line);

// The line of a table that tells the days left of a certificate: "12 days left", or "-" where there is none.
std::string DaysLeftText(const v1::MemberLine& member);

// AlreadyExists, naming the first of `paths` that exists, unless `force`.
absl::Status CheckOutputs(const std::vector<std::string>& paths, bool force);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_COMMANDS_COMMANDS_H_

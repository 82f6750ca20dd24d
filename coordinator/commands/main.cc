// SPDX-License-Identifier: Apache-2.0
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/base/core_dump.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "coordinator/commands/commands.h"
#include "coordinator/desk_audit.h"

namespace {

constexpr char kProgram[] = "attune-coordinator";

// Only where the folder is a coordinator's: a mistyped one must not become one.
absl::Status Record(const attune::CommandLine& line, const absl::Status& outcome) {
  if (!attune::FileExists(line.dir + "/pki/consortium")) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const auto audit, attune::DeskAudit::Open(line.dir));
  return audit->Commanded(line.recorded, outcome);
}

int Run(int argc, char** argv) {
  CLI::App app("Coordinates harmonization studies over sites whose data stay where they are.", kProgram);
  app.require_subcommand(1);
  app.fallthrough();  // global options count after a subcommand too
  app.set_version_flag("--version", attune::kVersion);
  attune::CommandLine line;
  bool quiet = false;
  bool verbose = false;
  app.add_option("--dir", line.dir, "The coordinator's state folder")->capture_default_str();
  app.add_option("--connect", line.connect, "HOST:PORT of a coordinator on another machine, for 'study' and 'site'");
  app.add_option("--identity", line.identity, "With --connect: the folder that 'pki admin' made");
  app.add_flag("--quiet", quiet, "Say only what is wrong");
  app.add_flag("--verbose", verbose, "Say more");
  attune::AddPkiCommands(app, line);
  attune::AddSiteCommands(app, line);
  attune::AddStudyCommands(app, line);
  attune::AddServeCommand(app, line);
  attune::AddEstimateCommand(app, line);
  attune::AddRecordCommands(app, line);
  attune::AddReportCommand(app, line);
  attune::AddAuditCommands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // 0 for --help and --version.
    return app.exit(error) == 0 ? 0 : static_cast<int>(attune::ExitCode::kUsage);
  }
  spdlog::set_default_logger(spdlog::stderr_color_mt(kProgram));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S %^%l%$ %v");
  spdlog::set_level(quiet ? spdlog::level::warn : verbose ? spdlog::level::debug : spdlog::level::info);
  spdlog::flush_on(spdlog::level::info);

  absl::Status status = attune::RunCommand(line);
  if (!line.recorded.empty() && line.connect.empty()) status.Update(Record(line, status));
  std::cout.flush();
  if (!status.ok()) std::cerr << kProgram << ": " << absl::StrCat(status.message()) << "\n";
  return static_cast<int>(attune::ExitCodeOf(status));
}

}  // namespace

int main(int argc, char** argv) {
  attune::ForbidCoreDumps();
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << kProgram << ": " << error.what() << "\n";
    return static_cast<int>(attune::ExitCode::kOther);
  }
}

// SPDX-License-Identifier: Apache-2.0
//
// attune-site: a hospital's side of a study.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "common/base/core_dump.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "site_agent/commands/command.h"

namespace {

void SetUpLog(const attune::Globals& globals) {
  auto logger = spdlog::stderr_color_mt("attune-site");
  logger->set_pattern("attune-site: %v");
  logger->set_level(globals.quiet ? spdlog::level::err : globals.verbose ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(logger);
}

int Main(int argc, char** argv) {
  CLI::App app{"attune-site: a hospital's side of a harmonization study", "attune-site"};
  attune::Globals globals;
  attune::Action action;
  app.set_version_flag("--version", attune::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--dir", globals.dir, "this site's folder: site.yaml, identity, studies")->capture_default_str();
  app.add_option("--threads", globals.threads, "threads; default: one per core; never changes a result")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--force", globals.force, "replace outputs that exist, and read tables that were harmonized before");
  auto* quiet = app.add_flag("--quiet", globals.quiet, "say only errors");
  app.add_flag("--verbose", globals.verbose, "say more")->excludes(quiet);
  attune::AddEnroll(&app, &globals, &action);
  attune::AddNetwork(&app, &globals, &action);
  attune::AddDoctor(&app, &globals, &action);
  attune::AddCheck(&app, &globals, &action);
  attune::AddRegister(&app, &globals, &action);
  attune::AddPreview(&app, &globals, &action);
  attune::AddApprove(&app, &globals, &action);
  attune::AddRenew(&app, &globals, &action);
  attune::AddRun(&app, &globals, &action);
  attune::AddAnswer(&app, &globals, &action);
  attune::AddApply(&app, &globals, &action);
  attune::AddLocal(&app, &globals, &action);
  attune::AddPolicy(&app, &globals, &action);
  attune::AddLedger(&app, &globals, &action);
  attune::AddAudit(&app, &globals, &action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(attune::ExitCode::kUsage);
  }
  SetUpLog(globals);
  const absl::Status status = action();
  if (!status.ok()) std::cerr << "attune-site: " << status.message() << std::endl;
  return static_cast<int>(attune::ExitCodeOf(status));
}

}  // namespace

int main(int argc, char** argv) {
  attune::ForbidCoreDumps();
  // The libraries behind the commands may throw (out of memory, a broken stream); nothing below catches everything.
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "attune-site: " << error.what() << std::endl;
    return static_cast<int>(attune::ExitCode::kOther);
  }
}

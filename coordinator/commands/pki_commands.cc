// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "common/base/status.h"
#include "coordinator/commands/commands.h"
#include "coordinator/state_folder.h"

namespace attune {
namespace {

struct InitOptions {
  std::string consortium;
  std::vector<std::string> hosts;
};

absl::Status Init(const std::string& dir, const InitOptions& options) {
  ATTUNE_RETURN_IF_ERROR(InitStateFolder(dir, options.consortium, options.hosts));
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(state.authority.certificate_pem));
  spdlog::info("'{}' holds the authority of the consortium '{}'. Back it up; keep pki/authority.key secret.", dir,
               options.consortium);
  std::cout << fingerprint << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddPkiCommands(CLI::App& app, CommandLine& line) {
  CLI::App* const pki = app.add_subcommand("pki", "The consortium's certificate authority");
  pki->require_subcommand(1);
  CLI::App* const init =
      pki->add_subcommand("init", "Make the authority and this server's certificate; prints its fingerprint");
  const auto options = std::make_shared<InitOptions>();
  init->add_option("--consortium", options->consortium, "Name of the consortium")->required();
  init->add_option("--host", options->hosts, "DNS name or IP address that sites dial; may be repeated")->required();
  init->callback([&line, options] {
    line.recorded = "pki init " + options->consortium;
    line.run = [&line, options] { return Init(line.dir, *options); };
  });
}

}  // namespace attune

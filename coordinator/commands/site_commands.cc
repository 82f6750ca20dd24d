// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/json.h"
#include "coordinator/commands/commands.h"
#include "coordinator/invitations.h"
#include "coordinator/state_folder.h"
#include "coordinator/text_table.h"

namespace attune {
namespace {

struct InviteOptions {
  std::string site;
  std::string coordinator;
  bool by_folder = false;
  std::string out;
  int days = kInvitationDays;
  bool force = false;
};

absl::Status Invite(const std::string& dir, const InviteOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  ATTUNE_RETURN_IF_ERROR(CheckOutputs({options.out}, options.force));
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_ASSIGN_OR_RETURN(const v1::Invitation invitation, invitations.Invite(options.site, options.coordinator, options.days));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(options.out, ToJson(invitation), FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(state.authority.certificate_pem));
  spdlog::info("'{}' is a secret for the site '{}' alone, good once until {}. Tell the site this fingerprint by another way:",
               options.out, options.site, invitation.expires());
  std::cout << fingerprint << "\n";
  return absl::OkStatus();
}

absl::Status List(const std::string& dir) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  const Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<SiteRecord> sites, invitations.Sites());
  std::vector<std::vector<std::string>> rows = {{"site", "enrolled", "certificate", "last invitation expires"}};
  for (const SiteRecord& site : sites) {
    const bool enrolled = !site.enrolled.empty();
    rows.push_back({site.site, enrolled ? site.enrolled : "not yet",
                    enrolled ? absl::StrCat(site.certificate_days_left, " days left") : "-", site.expires});
  }
  std::cout << FormatTable(rows, false);
  return absl::OkStatus();
}

}  // namespace

void AddSiteCommands(CLI::App& app, CommandLine& line) {
  CLI::App* const site = app.add_subcommand("site", "The sites of the consortium");
  site->require_subcommand(1);
  CLI::App* const invite = site->add_subcommand("invite", "Write an invitation file; prints the authority's fingerprint");
  const auto options = std::make_shared<InviteOptions>();
  invite->add_option("name", options->site, "Name of the site")->required();
  auto* const coordinator = invite->add_option("--coordinator", options->coordinator, "HOST:PORT that the site dials");
  auto* const folder =
      invite->add_flag("--folder", options->by_folder, "The site does not connect: it exchanges a folder (docs/protocol.md)");
  coordinator->excludes(folder);
  invite->add_option("--out", options->out, "The invitation file to write")->required();
  invite->add_option("--days", options->days, "How long the invitation is good")->capture_default_str();
  invite->add_flag("--force", options->force, "Write over an existing file");
  invite->callback([&line, options] {
    if (options->coordinator.empty() && !options->by_folder) throw CLI::RequiredError("--coordinator or --folder");
    line.recorded = "site invite " + options->site;
    line.run = [&line, options] { return Invite(line.dir, *options); };
  });
  CLI::App* const list = site->add_subcommand("list", "Who was invited and who has enrolled");
  list->callback([&line] { line.run = [&line] { return List(line.dir); }; });
}

}  // namespace attune

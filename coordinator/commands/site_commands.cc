// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/json.h"
#include "coordinator/commands/commands.h"
#include "coordinator/invitations.h"
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

absl::Status Invite(Operator& operator_desk, const InviteOptions& options) {
  ATTUNE_RETURN_IF_ERROR(CheckOutputs({options.out}, options.force));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Invitation invitation,
                          operator_desk.InviteSite(options.site, options.coordinator, options.days));
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(invitation.ca_pem()));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(options.out, ToJson(invitation), FileAccess::kOwnerOnly));
  spdlog::info("'{}' is a secret for the site '{}' alone, good once until {}. Tell the site this fingerprint by another way:",
               options.out, options.site, invitation.expires());
  std::cout << fingerprint << "\n";
  return absl::OkStatus();
}

absl::Status ListSites(Operator& operator_desk) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::MemberList sites, operator_desk.ListSites());
  std::vector<std::vector<std::string>> rows = {{"site", "state", "enrolled", "certificate", "last invitation expires"}};
  for (const v1::MemberLine& site : sites.members()) {
    rows.push_back({site.name(), site.state(), site.enrolled().empty() ? "not yet" : site.enrolled(), DaysLeftText(site),
                    site.invitation_expires().empty() ? "-" : site.invitation_expires()});
  }
  std::cout << FormatTable(rows, false);
  return absl::OkStatus();
}

absl::Status Revoke(Operator& operator_desk, const std::string& site) {
  ATTUNE_RETURN_IF_ERROR(operator_desk.RevokeSite(site));
  spdlog::info("No certificate and no invitation of the site '{}' counts from now on. 'site invite' lets it in again.", site);
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
    line.ask = [options](Operator& desk) { return Invite(desk, *options); };
  });
  CLI::App* const list = site->add_subcommand("list", "Who was invited, enrolled and revoked, and how long certificates last");
  list->callback([&line] { line.ask = ListSites; });
  CLI::App* const revoke = site->add_subcommand("revoke", "Shut a site out, at once, until it is invited again");
  revoke->add_option("name", options->site, "Name of the site")->required();
  revoke->callback([&line, options] {
    line.recorded = "site revoke " + options->site;
    line.ask = [options](Operator& desk) { return Revoke(desk, options->site); };
  });
}

}  // namespace attune

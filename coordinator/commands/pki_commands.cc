// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "coordinator/commands/commands.h"
#include "coordinator/grpc_operator.h"
#include "coordinator/invitations.h"
#include "coordinator/state_folder.h"
#include "coordinator/text_table.h"

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

struct PkiOptions {
  std::vector<std::string> hosts;
  bool new_key = false;
  std::string admin;
  std::string out;
};

absl::Status RenewServer(const std::string& dir, const PkiOptions& options) {
  ATTUNE_RETURN_IF_ERROR(RenewServerCertificate(dir, options.hosts, options.new_key));
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  ATTUNE_ASSIGN_OR_RETURN(const int days, DaysLeft(state.server.certificate_pem));
  spdlog::info("The server's certificate is good for {} days. Start 'serve' again: it shows the new one from then on.", days);
  return absl::OkStatus();
}

absl::Status MakeAdmin(const std::string& dir, const PkiOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  const std::string key_path = absl::StrCat(options.out, "/", kAdminKeyFile);
  ATTUNE_RETURN_IF_ERROR(CheckOutputs({key_path}, false));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options.out, FileAccess::kOwnerOnly));
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_ASSIGN_OR_RETURN(const KeyAndCertificate made, invitations.IssueAdmin(options.admin));
  const auto write = [&](const char* name, const std::string& pem) {
    return WriteFileAtomically(absl::StrCat(options.out, "/", name), pem, FileAccess::kOwnerOnly);
  };
  ATTUNE_RETURN_IF_ERROR(write(kAdminAuthorityFile, state.authority.certificate_pem));
  ATTUNE_RETURN_IF_ERROR(write(kAdminCertificateFile, made.certificate_pem));
  ATTUNE_RETURN_IF_ERROR(write(kAdminKeyFile, made.key_pem));
  spdlog::info("'{}' is the secret identity of the administrator '{}', good for {} days. Move it to his machine.", options.out,
               options.admin, kAdminCertificateDays);
  return absl::OkStatus();
}

absl::Status RevokeAdmin(const std::string& dir, const PkiOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_RETURN_IF_ERROR(invitations.RevokeAdmin(options.admin));
  spdlog::info("No certificate of the administrator '{}' counts from now on.", options.admin);
  return absl::OkStatus();
}

absl::Status List(const std::string& dir, const PkiOptions&) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  const Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(state.authority.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const int authority_days, DaysLeft(state.authority.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const int server_days, DaysLeft(state.server.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> hosts, HostsOf(state.server.certificate_pem));
  std::vector<std::vector<std::string>> rows = {{"certificate", "state", "days left", "of"}};
  rows.push_back({"authority", "-", absl::StrCat(authority_days), fingerprint});
  rows.push_back({"server", "-", absl::StrCat(server_days), absl::StrJoin(hosts, ", ")});
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<MemberRecord> admins, invitations.Admins());
  for (const MemberRecord& admin : admins) {
    rows.push_back(
        {"administrator", admin.state, admin.state == "revoked" ? "-" : absl::StrCat(admin.certificate_days_left), admin.name});
  }
  std::cout << FormatTable(rows, false);
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

  const auto others = std::make_shared<PkiOptions>();
  const auto add = [&](const char* name, const char* help, absl::Status (*act)(const std::string&, const PkiOptions&),
                       bool changes = true) {
    CLI::App* const command = pki->add_subcommand(name, help);
    command->callback([&line, others, act, changes, name = std::string(name)] {
      if (changes) line.recorded = absl::StrCat("pki ", name, others->admin.empty() ? "" : " ", others->admin);
      line.run = [&line, others, act] { return act(line.dir, *others); };
    });
    return command;
  };
  CLI::App* const renew = add("renew-server", "Make a new certificate for this server", RenewServer);
  renew->add_option("--host", others->hosts, "DNS name or IP address that sites dial; may be repeated; default: as before");
  renew->add_flag("--new-key", others->new_key, "Make a new key too; when this is interrupted, give the command again");
  CLI::App* const admin =
      add("admin", "Make the key and certificate with which an operator may --connect from elsewhere", MakeAdmin);
  admin->add_option("name", others->admin, "Name of the administrator")->required();
  admin->add_option("--out", others->out, "The folder to write, a secret")->required();
  add("revoke-admin", "Shut an administrator out, at once", RevokeAdmin)
      ->add_option("name", others->admin, "Name of the administrator")
      ->required();
  add("list", "The authority, the server and the administrators, and how long their certificates last", List, false);
}

}  // namespace attune

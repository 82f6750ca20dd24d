// SPDX-License-Identifier: Apache-2.0
#include "site_agent/audit.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "site_agent/commands/command.h"

namespace attune {
namespace {

// Looking must not make a log where there is none.
absl::StatusOr<SiteAudit> OpenExisting(const Globals& globals) {
  const std::string folder = globals.dir + "/audit";
  if (std::filesystem::is_directory(folder)) return SiteAudit::Open(Home(globals.dir));
  return absl::NotFoundError(absl::StrCat("there is no audit log in '", folder, "': give --dir with this site's folder"));
}

absl::Status Verify(const Globals& globals, const std::string& known_head) {
  ATTUNE_ASSIGN_OR_RETURN(const SiteAudit audit, OpenExisting(globals));
  ATTUNE_ASSIGN_OR_RETURN(const AuditHead head, audit.log().Verify());
  if (!known_head.empty()) ATTUNE_RETURN_IF_ERROR(audit.log().VerifyContains(known_head));
  std::cout << "whole: " << head.entries << " entries, head " << head.digest << "\n";
  return absl::OkStatus();
}

absl::Status ShowAudit(const Globals& globals) {
  ATTUNE_ASSIGN_OR_RETURN(const SiteAudit audit, OpenExisting(globals));
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, DescribeAudit(audit.log()));
  std::cout << text;
  return absl::OkStatus();
}

absl::Status Export(const Globals& globals, const std::string& out) {
  if (!globals.force && FileExists(out)) {
    return absl::AlreadyExistsError(absl::StrCat("'", out, "' exists; give --force to write over it"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const SiteAudit audit, OpenExisting(globals));
  ATTUNE_ASSIGN_OR_RETURN(const AuditHead head, ExportAudit(audit.log(), out));
  spdlog::info("'{}' holds {} entries; head {}", out, head.entries, head.digest);
  return absl::OkStatus();
}

}  // namespace

void AddAudit(CLI::App* app, const Globals* globals, Action* action) {
  CLI::App* audit = app->add_subcommand("audit", "The record of what was asked, agreed to, sent and refused here");
  audit->require_subcommand(1);
  CLI::App* verify = audit->add_subcommand("verify", "Find any change, gap or missing end");
  auto known_head = std::make_shared<std::string>();
  verify->add_option("--known-head", *known_head, "a head that was noted earlier, which the log must still go through");
  verify->callback([=] { *action = [=] { return Verify(*globals, *known_head); }; });
  CLI::App* show = audit->add_subcommand("show", "Print it, once verified");
  show->callback([=] { *action = [=] { return ShowAudit(*globals); }; });
  auto out = std::make_shared<std::string>();
  CLI::App* file = audit->add_subcommand("export", "Write it, once verified, to a file for the data protection officer");
  file->add_option("--out", *out, "the file to write")->required();
  file->callback([=] { *action = [=] { return Export(*globals, *out); }; });
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/commands/commands.h"
#include "coordinator/desk_audit.h"

namespace attune {
namespace {

// Looking must not make a log where there is none.
absl::StatusOr<std::unique_ptr<DeskAudit>> OpenExisting(const std::string& dir) {
  if (std::filesystem::is_directory(dir + "/audit")) return DeskAudit::Open(dir);
  return absl::NotFoundError(
      absl::StrCat("there is no audit log in '", dir, "/audit': give --dir with the coordinator's folder"));
}

absl::Status VerifyLog(const std::string& dir, const std::string& known_head) {
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<DeskAudit> audit, OpenExisting(dir));
  ATTUNE_ASSIGN_OR_RETURN(const AuditHead head, audit->log().Verify());
  if (!known_head.empty()) ATTUNE_RETURN_IF_ERROR(audit->log().VerifyContains(known_head));
  std::cout << "whole: " << head.entries << " entries, head " << head.digest << "\n";
  return absl::OkStatus();
}

absl::Status ExportLog(const std::string& dir, const std::string& out, bool force) {
  ATTUNE_RETURN_IF_ERROR(CheckOutputs({out}, force));
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<DeskAudit> audit, OpenExisting(dir));
  ATTUNE_ASSIGN_OR_RETURN(const AuditHead head, ExportAudit(audit->log(), out));
  spdlog::info("'{}' holds {} entries; head {}", out, head.entries, head.digest);
  return absl::OkStatus();
}

}  // namespace

void AddAuditCommands(CLI::App& app, CommandLine& line) {
  CLI::App* const audit = app.add_subcommand("audit", "The record of who asked for what and what was refused");
  audit->require_subcommand(1);
  CLI::App* const verify = audit->add_subcommand("verify", "Find any change, gap or missing end");
  const auto known_head = std::make_shared<std::string>();
  verify->add_option("--known-head", *known_head, "A head that was noted earlier, which the log must still go through");
  verify->callback([&line, known_head] { line.run = [&line, known_head] { return VerifyLog(line.dir, *known_head); }; });
  CLI::App* const file = audit->add_subcommand("export", "Write it, once verified, to a file");
  const auto out = std::make_shared<std::string>();
  const auto force = std::make_shared<bool>(false);
  file->add_option("--out", *out, "The file to write")->required();
  file->add_flag("--force", *force, "Write over an existing file");
  file->callback([&line, out, force] { line.run = [&line, out, force] { return ExportLog(line.dir, *out, *force); }; });
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/policy.h"

#include <spdlog/spdlog.h>

#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "site_agent/commands/command.h"

namespace attune {
namespace {

struct PolicyArguments {
  std::string study;
};

absl::Status Init(const Globals& globals, const PolicyArguments& arguments) {
  const Home home(globals.dir);
  if (FileExists(home.PolicyPath()) && !globals.force) {
    return absl::AlreadyExistsError(absl::StrCat("'", home.PolicyPath(), "' exists; give --force to replace it"));
  }
  std::optional<v1::StudyConfig> study;
  if (!arguments.study.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(const StudyInput input, StudyInputOf(home, arguments.study));
    study = input.config;
  }
  const std::string text = PolicyTemplate(study.has_value() ? &*study : nullptr);
  ATTUNE_RETURN_IF_ERROR(ParsePolicy(text, home.PolicyPath()).status());
  ATTUNE_RETURN_IF_ERROR(MakeFolder(globals.dir, FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.PolicyPath(), text, FileAccess::kOwnerOnly));
  if (study.has_value()) {
    spdlog::info("{} allows what study '{}' asks; read it before anything leaves", home.PolicyPath(), study->study());
  } else {
    spdlog::info("{} allows nothing yet: say in it which studies, methods, covariates and features may be used",
                 home.PolicyPath());
  }
  return absl::OkStatus();
}

absl::Status ShowPolicy(const Globals& globals) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::SitePolicy policy, ReadPolicy(Home(globals.dir).PolicyPath()));
  std::cout << DescribePolicy(policy);
  return absl::OkStatus();
}

}  // namespace

void AddPolicy(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<PolicyArguments>();
  CLI::App* command = app->add_subcommand("policy", "What may leave this site, whatever a study asks");
  command->require_subcommand(1);
  CLI::App* init = command->add_subcommand("init", "Write policy.yaml, with a comment for each rule; it allows nothing yet");
  init->add_option("--study", arguments->study, "study.yaml, or the name of a study: allow just what it asks");
  init->callback([=] { *action = [=] { return Init(*globals, *arguments); }; });
  CLI::App* show = command->add_subcommand("show", "The rules in force, in words");
  show->callback([=] { *action = [=] { return ShowPolicy(*globals); }; });
}

}  // namespace attune

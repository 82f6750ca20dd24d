// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "site_agent/commands/command.h"
#include "site_agent/describe.h"
#include "site_agent/design_notes.h"
#include "site_agent/gate.h"

namespace attune {
namespace {

struct Arguments {
  std::string study;
  std::string site;
};

// A file, or a study by name: what this site has of it, else what the coordinator says.
absl::StatusOr<v1::StudyConfig> ConfigOf(const Home& home, const std::string& study) {
  if (FileExists(study)) return ReadStudyFile(study);
  if (!IsPlainName(study)) return absl::NotFoundError(absl::StrCat("there is no study file '", study, "'"));
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(study));
  if (auto kept = folder.ReadStudy(); kept.ok()) return kept->config();
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, std::nullopt));
  ATTUNE_ASSIGN_OR_RETURN(const v1::GetStudyReply reply, AskForStudy(folder, study, courier.get()));
  return reply.config();
}

absl::Status Check(const Globals& globals, const Arguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyConfig config, ConfigOf(home, arguments.study));
  std::string site = arguments.site;
  if (site.empty()) {
    const auto identity = home.ReadIdentity();
    site = identity.ok() ? identity->site() : "this-site";
  }
  ATTUNE_ASSIGN_OR_RETURN(const SiteTables tables, OpenHomeTables(globals, site, config, {}));
  const SiteData& data = *tables.data;
  std::cout << "study     " << config.study() << "\nfeatures  " << data.features().size() << ": " << JoinSome(data.features())
            << "\n\n"
            << DescribeBatches(data.batches());
  std::vector<std::string> notes = data.notes();
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> design, DescribeDesign(CovariatesOf(config), data));
  notes.insert(notes.end(), design.begin(), design.end());
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> rare, DescribeRareLevels(CovariatesOf(config), data, kMinCell));
  notes.insert(notes.end(), rare.begin(), rare.end());
  const absl::Status missing = CheckMissing(config, ApprovalOfMissingValues(), data.features(), data);
  if (!missing.ok() && !absl::IsPermissionDenied(missing)) return missing;
  if (!missing.ok()) notes.emplace_back(missing.message());
  for (const std::string& note : notes) std::cout << "\nnote: " << note;
  if (!notes.empty()) std::cout << "\n";
  ATTUNE_RETURN_IF_ERROR(CheckBatchSizes(config, data.batches()));
  return CheckFewestPeople(data.batches());
}

}  // namespace

void AddCheck(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app->add_subcommand("check", "Read this site's tables in the terms of a study and say what is there; sends nothing");
  command->add_option("--study,study", arguments->study, "study.yaml, or the name of a study")->required();
  command->add_option("--site", arguments->site, "this site's name; default: as enrolled");
  command->callback([=] { *action = [=] { return Check(*globals, *arguments); }; });
}

}  // namespace attune

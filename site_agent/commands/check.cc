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
#include "site_agent/policy.h"
#include "site_agent/policy_rules.h"
#include "site_agent/survey.h"

namespace attune {
namespace {

struct CheckArguments {
  std::string study;
  std::string site;
};

// The policy in force. Without one, the strictest thresholds, so that notes tell of whatever may be refused.
absl::StatusOr<v1::SitePolicy> PolicyOf(const Home& home, std::vector<std::string>* notes) {
  if (FileExists(home.PolicyPath())) return ReadPolicy(home.PolicyPath());
  notes->push_back("this site has no policy yet: nothing can leave it before 'attune-site policy init'");
  v1::SitePolicy policy = DefaultPolicy();
  policy.set_missing(v1::MISSING_PERMISSION_ALLOW);
  return policy;
}

absl::Status Check(const Globals& globals, const CheckArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const StudyInput study, StudyInputOf(home, arguments.study));
  const v1::StudyConfig& config = study.config;
  std::string site = arguments.site;
  if (site.empty()) {
    const auto identity = home.ReadIdentity();
    site = identity.ok() ? identity->site() : "this-site";
  }
  ATTUNE_ASSIGN_OR_RETURN(const SiteTables tables, OpenHomeTables(globals, site, study, {}));
  const SiteData& data = *tables.data;
  std::cout << "study     " << config.study() << "\nfeatures  " << DescribeFeatures(data.features()) << "\n\n"
            << DescribeBatches(data.batches());
  std::vector<std::string> notes = data.notes();
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> design, DescribeDesign(CovariatesOf(config), data));
  notes.insert(notes.end(), design.begin(), design.end());
  ATTUNE_ASSIGN_OR_RETURN(const v1::SitePolicy policy, PolicyOf(home, &notes));
  const std::vector<Covariate> covariates = CovariatesOf(config);
  const SurveyOptions options{.missing = config.method().combat().missing() == v1::MISSING_VALUES_ALLOW};
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<BatchSurvey> people,
                          SurveyPeople(covariates, data.features().size(), data, options));
  const std::vector<std::string> rare = DescribeRareLevels(covariates, people, policy.min_cell());
  notes.insert(notes.end(), rare.begin(), rare.end());
  const absl::Status missing = CheckMissing(config, policy, std::nullopt, data.features(), data);
  if (!missing.ok() && !absl::IsPermissionDenied(missing)) return missing;
  std::vector<RuleResult> rules = {{"", missing}};
  if (FileExists(home.PolicyPath())) {
    rules = JudgePolicy(policy, config, data.features(), people);
    rules.push_back({"", missing});
  }
  for (const RuleResult& rule : rules) {
    if (!rule.result.ok()) notes.push_back(absl::StrCat("would be refused: ", rule.result.message()));
  }
  for (const std::string& note : notes) std::cout << "\nnote: " << note;
  if (!notes.empty()) std::cout << "\n";
  ATTUNE_RETURN_IF_ERROR(CheckBatchSizes(config, data.batches()));
  return SubjectsRule(policy, data.features(), people).result;
}

}  // namespace

void AddCheck(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<CheckArguments>();
  CLI::App* command =
      app->add_subcommand("check", "Read this site's tables in the terms of a study and say what is there; sends nothing");
  command->add_option("--study,study", arguments->study, "study.yaml, or the name of a study")->required();
  command->add_option("--site", arguments->site, "this site's name; default: as enrolled");
  command->callback([=] { *action = [=] { return Check(*globals, *arguments); }; });
}

}  // namespace attune

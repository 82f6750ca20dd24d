// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "common/base/crash_point.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "site_agent/audit.h"
#include "site_agent/commands/command.h"
#include "site_agent/gate.h"
#include "site_agent/imaging/image_data.h"
#include "site_agent/policy.h"
#include "site_agent/policy_rules.h"
#include "site_agent/survey.h"

namespace attune {
namespace {

struct RegisterArguments {
  std::string study;
  double patience = -1;
};

// Of images only the people are looked at, where that is enough: their values are judged before they are answered from, and by
// 'attune-site check'.
absl::StatusOr<std::vector<BatchSurvey>> Survey(const SiteData& data, const v1::StudyConfig& config) {
  const SurveyOptions options{.missing = config.method().combat().missing() == v1::MISSING_VALUES_ALLOW};
  const std::vector<Covariate> covariates = CovariatesOf(config);
  const ImageData* const images = data.images();
  if (images == nullptr || options.missing) return SurveyPeople(covariates, data.features().size(), data, options);
  PeopleSurvey survey(covariates, 0, options);
  ATTUNE_RETURN_IF_ERROR(images->ForEachPerson([&](const Subject& subject) { return survey.Add(subject); }));
  return std::move(survey).Finish();
}

absl::Status Register(const Globals& globals, const RegisterArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::SitePolicy policy, ReadPolicy(home.PolicyPath()));
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  // By folder a site may not know its consortium's name before there is a manifest.
  if (!identity.consortium().empty()) ATTUNE_RETURN_IF_ERROR(CheckPermissive(policy, identity.consortium()));
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(arguments.study));
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, PatienceOf(arguments.patience)));
  ATTUNE_ASSIGN_OR_RETURN(const v1::GetStudyReply reply, AskForStudy(folder, arguments.study, courier.get()));
  ATTUNE_ASSIGN_OR_RETURN(
      const SiteTables tables,
      OpenHomeTables(globals, identity.site(), HeldStudyInput(folder, reply.config(), reply.attachments()), {}));
  LogNotes(*tables.data);
  // What would be refused when the study runs is better said now.
  ATTUNE_RETURN_IF_ERROR(CheckBatchSizes(reply.config(), tables.data->batches()));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<BatchSurvey> people, Survey(*tables.data, reply.config()));
  ATTUNE_RETURN_IF_ERROR(FirstBroken(JudgePolicy(policy, reply.config(), tables.data->features(), people)));
  v1::RegisterRequest request;
  request.set_study(arguments.study);
  for (const BatchCount& batch : tables.data->batches()) request.add_batches(LabelOf(batch.batch));
  std::sort(request.mutable_batches()->begin(), request.mutable_batches()->end());
  const FeatureNames& features = tables.data->features();
  if (const ImageData* images = tables.data->images()) {
    request.mutable_images()->set_mask_sha256(images->mask_sha256());
    request.mutable_images()->set_voxels(features.size());
  } else {
    request.mutable_features()->Add(features.names().begin(), features.names().end());
  }
  if (ReleaseOf(reply.config()) == Release::kPooled) {
    // Its key will sign this site's part of secure aggregation.
    request.set_certificate_pem(ReadFile(home.IdentityFile("certificate.pem")).value_or(""));
  }
  ATTUNE_ASSIGN_OR_RETURN(SiteAudit audit, SiteAudit::Open(home));
  ATTUNE_RETURN_IF_ERROR(audit.Registered(arguments.study, request.batches_size(), static_cast<int>(features.size())));
  ATTUNE_RETURN_IF_ERROR(courier->Register(request));
  CrashPoint("site.registered");
  spdlog::info("registered for study '{}' with {} batches and {} features{}", arguments.study, request.batches_size(),
               features.size(), identity.folder().empty() ? "" : "; bring the folder to the coordinator");
  return absl::OkStatus();
}

}  // namespace

void AddRegister(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<RegisterArguments>();
  CLI::App* command =
      app->add_subcommand("register", "Take part in a recruiting study: sends names of batches and features, no counts");
  command->add_option("study", arguments->study, "the study's name")->required();
  command->add_option("--patience", arguments->patience, "seconds to go on trying when the coordinator cannot be reached");
  command->callback([=] { *action = [=] { return Register(*globals, *arguments); }; });
}

}  // namespace attune

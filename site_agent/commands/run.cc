// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "site_agent/agent.h"
#include "site_agent/commands/command.h"
#include "site_agent/gate.h"
#include "site_agent/policy.h"

namespace attune {
namespace {

struct RunArguments {
  std::string study;
  std::string out;
  double patience = -1;
  bool plain_sums = false;
  ImageType output = ImageType::kFloat32;
};

// A manifest that policy.yaml lists needs nobody to approve it, but this site has to have it.
absl::Status FetchWhatThePolicyApproves(const Home& home, const v1::AgentIdentity& identity, const std::string& study,
                                        Courier* courier) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::SitePolicy policy, ReadPolicy(home.PolicyPath()));
  if (policy.approved_manifests().empty()) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(study));
  const auto approval = folder.ReadApproval();
  const auto reply = AskForStudy(folder, study, courier);
  if (!reply.ok()) return approval.ok() ? absl::OkStatus() : reply.status();
  ATTUNE_ASSIGN_OR_RETURN(const HeldManifest held, ManifestOf(*reply, identity, study));
  const bool has_it = approval.ok() && approval->manifest_sha256() == held.sha256;
  if (has_it || !ApprovesManifest(policy, held.sha256)) return absl::OkStatus();
  return folder.Approve(CanonicalBytes(held.manifest), ApprovalByPolicy(held.sha256));
}

absl::Status Run(const Globals& globals, const RunArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, PatienceOf(arguments.patience)));
  ATTUNE_RETURN_IF_ERROR(FetchWhatThePolicyApproves(home, identity, arguments.study, courier.get()));
  ATTUNE_ASSIGN_OR_RETURN(const SiteStudy study, OpenApprovedStudy(home, identity.site(), arguments.study));
  ATTUNE_ASSIGN_OR_RETURN(const SiteTables tables, OpenHomeTables(globals, identity.site(),
                                                                  HeldStudyInput(study.folder, study.held.manifest.config(),
                                                                                 study.held.manifest.attachments()),
                                                                  study.facts.features));
  LogNotes(*tables.data);
  RunOptions options{
      .output = arguments.output, .threads = globals.Threads(), .force = globals.force, .plain_sums = arguments.plain_sums};
  if (study.held.manifest.has_aggregation()) {
    ATTUNE_ASSIGN_OR_RETURN(options.signer.key_pem, ReadFile(home.IdentityFile("key.pem")));
    ATTUNE_ASSIGN_OR_RETURN(options.signer.certificate_pem, ReadFile(home.IdentityFile("certificate.pem")));
  }
  options.out = arguments.out.empty() ? absl::StrCat(globals.dir, "/derivatives/", study.name()) : arguments.out;
  if (!identity.folder().empty()) options.wait_limit = PatienceOf(arguments.patience).value_or(absl::ZeroDuration());
  ATTUNE_ASSIGN_OR_RETURN(SiteAudit audit, SiteAudit::Open(home));
  options.audit = &audit;
  return RunStudy(study, tables, options, courier.get());
}

}  // namespace

void AddRun(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app->add_subcommand("run", "Take part in an approved study until this site's data are harmonized");
  command->add_option("study", arguments->study, "the study's name")->required();
  command->add_option("--out", arguments->out, "the derivative folder to write; default: DIR/derivatives/<study>");
  AddOutputOptions(command, &arguments->output);
  command->add_option("--patience", arguments->patience,
                      "seconds to go on when the coordinator cannot be reached (default 600), or, by folder, when nothing new "
                      "has come (default 0)");
  command->add_flag("--plain-sums", arguments->plain_sums,
                    "simulator only: answer a pooled study with sums that are not masked");
  command->callback([=] { *action = [=] { return Run(*globals, *arguments); }; });
}

}  // namespace attune

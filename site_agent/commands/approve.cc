// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "common/wire/names.h"
#include "site_agent/audit.h"
#include "site_agent/commands/command.h"
#include "site_agent/describe.h"
#include "site_agent/gate.h"

namespace attune {
namespace {

struct ApproveArguments {
  std::string study;
  std::string manifest;
  std::string hash;
  bool allow_missing = false;
  bool any_difference = false;
  bool allow_reference_batch = false;
  std::string override_ledger;
  bool yes = false;
  double patience = -1;
};

absl::StatusOr<HeldManifest> ManifestToApprove(const Home& home, const v1::AgentIdentity& identity, const StudyFolder& folder,
                                               const ApproveArguments& arguments) {
  if (!arguments.manifest.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(HeldManifest held, ReadManifestFile(arguments.manifest, identity));
    if (held.manifest.config().study() == arguments.study) return held;
    return absl::InvalidArgumentError(absl::StrCat("'", arguments.manifest, "' is the manifest of study '",
                                                   held.manifest.config().study(), "', not of '", arguments.study, "'"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, PatienceOf(arguments.patience)));
  ATTUNE_ASSIGN_OR_RETURN(const v1::GetStudyReply reply, AskForStudy(folder, arguments.study, courier.get()));
  return ManifestOf(reply, identity, arguments.study);
}

absl::Status Confirm(const ApproveArguments& arguments, const HeldManifest& held) {
  if (!arguments.hash.empty()) {
    if (absl::AsciiStrToLower(arguments.hash) == held.sha256) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("the study's manifest is ", held.sha256, ", not ", arguments.hash,
                                                    ": nothing was approved. Ask the consortium which is right"));
  }
  if (arguments.yes) return absl::OkStatus();
  if (::isatty(STDIN_FILENO) == 0) {
    return absl::FailedPreconditionError("there is no terminal to ask on: give --hash with the manifest's hash, or --yes");
  }
  std::cerr << "\nApprove this study for this site? Type 'yes': " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (absl::StripAsciiWhitespace(answer) == "yes") return absl::OkStatus();
  return absl::PermissionDeniedError("not approved: nothing will be sent");
}

v1::AllowMissing AllowMissingOf(const ApproveArguments& arguments) {
  if (arguments.any_difference) return v1::ALLOW_MISSING_ANY_DIFFERENCE;
  return arguments.allow_missing ? v1::ALLOW_MISSING_YES : v1::ALLOW_MISSING_NO;
}

// An approval may only agree to what the policy permits, or to less.
absl::Status CheckWithinPolicy(const SiteStudy& study, const v1::Approval& approval) {
  if (study.held.manifest.config().method().combat().missing() != v1::MISSING_VALUES_ALLOW) return absl::OkStatus();
  v1::SitePolicy anything;
  anything.set_missing(v1::MISSING_PERMISSION_ANY_DIFFERENCE);
  const v1::MissingPermission asked = PermittedMissing(anything, approval);
  if (asked == v1::MISSING_PERMISSION_REFUSE || asked <= study.policy.missing()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("nothing was approved: policy.yaml says 'missing: ",
                                                  study.policy.missing() == v1::MISSING_PERMISSION_ALLOW ? "allow" : "refuse",
                                                  "', and an approval cannot go further. Change it to '",
                                                  asked == v1::MISSING_PERMISSION_ALLOW ? "allow" : "any_difference",
                                                  "' first, if this site accepts that"));
}

// What the approval agrees to by name, for the record.
std::string DescribeAgreements(const v1::Approval& approval) {
  std::vector<std::string> agreed;
  if (approval.allow_missing() == v1::ALLOW_MISSING_YES) agreed.push_back("missing values");
  if (approval.allow_missing() == v1::ALLOW_MISSING_ANY_DIFFERENCE) {
    agreed.push_back("missing values, any difference between features");
  }
  if (approval.allow_reference_batch()) agreed.push_back("reference batch");
  if (!approval.override_ledger().empty()) agreed.push_back(absl::StrCat("ledger overridden: ", approval.override_ledger()));
  return absl::StrJoin(agreed, "; ");
}

absl::Status Approve(const Globals& globals, const ApproveArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(arguments.study));
  ATTUNE_ASSIGN_OR_RETURN(const HeldManifest held, ManifestToApprove(home, identity, folder, arguments));
  ATTUNE_ASSIGN_OR_RETURN(const SiteStudy study, MakeSiteStudy(home, identity.site(), held));
  std::cout << DescribeManifest(held, identity.site());
  if (held.manifest.config().method().combat().missing() == v1::MISSING_VALUES_ALLOW) {
    std::cout << "missing      each feature is summed over the people who have it, so differences between features can tell of "
                 "those who have not; sent only with --allow-missing, and then not where features differ in 1 to "
              << study.policy.min_cell() - 1 << " people, unless --allow-missing-any-difference\n";
  }
  v1::Approval approval;
  approval.set_manifest_sha256(held.sha256);
  approval.set_time(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  approval.set_allow_missing(AllowMissingOf(arguments));
  approval.set_allow_reference_batch(arguments.allow_reference_batch);
  approval.set_override_ledger(arguments.override_ledger);
  ATTUNE_RETURN_IF_ERROR(CheckWithinPolicy(study, approval));
  ATTUNE_RETURN_IF_ERROR(Confirm(arguments, held));
  ATTUNE_ASSIGN_OR_RETURN(SiteAudit audit, SiteAudit::Open(home));
  ATTUNE_RETURN_IF_ERROR(audit.Approved(held, DescribeAgreements(approval)));
  ATTUNE_RETURN_IF_ERROR(folder.Approve(CanonicalBytes(held.manifest), approval));
  spdlog::info("approved study '{}', manifest {}", arguments.study, held.sha256);
  return absl::OkStatus();
}

}  // namespace

void AddApprove(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<ApproveArguments>();
  CLI::App* command =
      app->add_subcommand("approve", "Show a frozen study and agree, for this site, to take part in exactly this");
  command->add_option("study", arguments->study, "the study's name")->required();
  command->add_option("--manifest", arguments->manifest, "the manifest as a file, instead of asking the coordinator");
  command->add_option("--hash", arguments->hash, "the manifest's SHA-256, which must match");
  auto* allow =
      command->add_flag("--allow-missing", arguments->allow_missing, "agree to sums over the people who have a feature");
  command
      ->add_flag("--allow-missing-any-difference", arguments->any_difference,
                 "the same, even where features differ in a few people only")
      ->excludes(allow);
  command->add_flag("--allow-reference-batch", arguments->allow_reference_batch,
                    "agree that, under pooled, every site learns the parameters of this site's reference batch");
  command
      ->add_option("--override-ledger", arguments->override_ledger,
                   "release although the ledger's rules refuse; the reason goes on record")
      ->check([](const std::string& reason) { return IsOneLine(reason) ? "" : "needs a reason, in one line"; });
  command->add_flag("--yes", arguments->yes, "do not ask");
  command->add_option("--patience", arguments->patience, "seconds to go on trying when the coordinator cannot be reached");
  command->callback([=] { *action = [=] { return Approve(*globals, *arguments); }; });
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/answer.h"

#include <spdlog/spdlog.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/status.h"
#include "site_agent/commands/command.h"
#include "site_agent/gate.h"

namespace attune {
namespace {

struct AnswerArguments {
  std::string manifest;
  std::string out;
};

absl::Status Answer(const Globals& globals, const AnswerArguments& arguments) {
  if (FileExists(arguments.out) && !globals.force) {
    return absl::AlreadyExistsError(absl::StrCat("'", arguments.out, "' exists; give another name, or --force to replace it"));
  }
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const HeldManifest held, ReadManifestFile(arguments.manifest, identity));
  ATTUNE_ASSIGN_OR_RETURN(const SiteStudy study, MakeSiteStudy(home, identity.site(), held));
  ATTUNE_RETURN_IF_ERROR(CheckApproved(study.name(), held.sha256, study.approval));
  ATTUNE_RETURN_IF_ERROR(CheckRelease(held.manifest, /*plain_sums=*/false));
  if (held.manifest.has_aggregation()) {
    return absl::FailedPreconditionError(
        "release: pooled masks this site's sums in several steps with the other sites, which no single file can hold: use "
        "'run', "
        "over the network or by folder");
  }
  ATTUNE_ASSIGN_OR_RETURN(
      const SiteTables tables,
      OpenHomeTables(globals, identity.site(),
                     HeldStudyInput(study.folder, held.manifest.config(), held.manifest.attachments()), study.facts.features));
  LogNotes(*tables.data);
  ATTUNE_ASSIGN_OR_RETURN(const std::string question, WriteFirstQuestion(study));
  absl::StatusOr<v1::UploadHeader> header = KeptAnswer(study, tables, 1, question);
  if (absl::IsNotFound(header.status())) header = ComputeAnswer(study, tables, 1, question, globals.Threads());
  ATTUNE_RETURN_IF_ERROR(header.status());
  ATTUNE_ASSIGN_OR_RETURN(const auto bytes, MappedFile::Open(study.folder.AnswerPath(1)));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(arguments.out, bytes->bytes(), FileAccess::kOwnerOnly));
  spdlog::info("the answer to round 1 of study '{}' is {} ({} bytes)", study.name(), arguments.out, header->bundle().size());
  return absl::OkStatus();
}

}  // namespace

void AddAnswer(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<AnswerArguments>();
  CLI::App* command = app->add_subcommand("answer", "Compute round 1's answer of an approved study, from file to file");
  command->add_option("--manifest", arguments->manifest, "the study's manifest, as the coordinator exports it")->required();
  command->add_option("--out", arguments->out, "the file to write")->required();
  command->callback([=] { *action = [=] { return Answer(*globals, *arguments); }; });
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/fold.h"
#include "common/methods/registry.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "site_agent/commands/command.h"
#include "site_agent/gate.h"
#include "site_agent/harmonize.h"
#include "site_agent/imaging/image_data.h"
#include "site_agent/tables/derivative.h"

namespace attune {
namespace {

struct LocalArguments {
  std::string study;
  TableArguments tables;
  std::string site;
  std::string out;
  ImageType output = ImageType::kFloat32;
};

// The study as it would be frozen if this site were all of it, so that the model names exactly what it was fitted on.
v1::Manifest LocalManifest(const v1::StudyConfig& config, const std::string& site, const SiteData& data) {
  v1::Manifest manifest;
  manifest.set_protocol(kProtocolVersion);
  manifest.set_consortium("local");
  *manifest.mutable_config() = config;
  manifest.set_method(MethodIdOf(config));
  v1::RosterSite* roster = manifest.add_roster();
  roster->set_site(site);
  for (const BatchCount& batch : data.batches()) roster->add_batches(LabelOf(batch.batch));
  const FeatureNames& features = data.features();
  manifest.mutable_features()->Add(features.names().begin(), features.names().end());
  if (const ImageData* images = data.images()) {
    manifest.set_voxels(features.size());
    v1::Attachment* mask = manifest.add_attachments();
    mask->set_name(kMaskAttachment);
    mask->set_sha256(images->mask_sha256());
  }
  return manifest;
}

absl::Status Local(const Globals& globals, const LocalArguments& arguments) {
  if (!IsPlainName(arguments.site)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", arguments.site, "' cannot be a site's name: expected letters, digits, '.', '_', '-'"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckDerivativeFree(arguments.out, globals.force));
  ATTUNE_ASSIGN_OR_RETURN(const StudyInput study, ReadStudyInput(arguments.study));
  const v1::StudyConfig& config = study.config;
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteConfig site_config, SiteConfigOf(arguments.tables));
  ATTUNE_ASSIGN_OR_RETURN(
      const SiteTables tables,
      OpenTables(
          site_config, config,
          {.site = arguments.site, .mask = study.mask, .threads = globals.Threads(), .allow_harmonized_input = globals.force}));
  LogNotes(*tables.data);
  ATTUNE_RETURN_IF_ERROR(CheckBatchSizes(config, tables.data->batches()));
  const v1::Manifest manifest = LocalManifest(config, arguments.site, *tables.data);
  const Method* method = FindMethod(manifest.method());
  if (method == nullptr) {
    return absl::NotFoundError(absl::StrCat("the study's method '", manifest.method(), "' is not known to this version"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const FoldResult result,
                          RunInProcess(*method, FactsOf(manifest), {{arguments.site, tables.data.get()}}, globals.Threads()));
  const FittedModel model =
      MakeFittedModel(manifest, Sha256Hex(CanonicalBytes(manifest)), result.models, result.correction.notes);
  return WriteHarmonized(*tables.data, *method, model, arguments.out, {arguments.output, globals.Threads()}, true);
}

}  // namespace

void AddLocal(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<LocalArguments>();
  CLI::App* command = app->add_subcommand("local", "Harmonize the scanners of one site, without a network or a consortium");
  command->add_option("--study", arguments->study, "study.yaml")->required();
  AddTableOptions(command, &arguments->tables);
  command->add_option("--site", arguments->site, "the site's name, the first part of its batches' names")->required();
  command->add_option("--out", arguments->out, "the derivative folder to write")->required();
  AddOutputOptions(command, &arguments->output);
  command->callback([=] { *action = [=] { return Local(*globals, *arguments); }; });
}

}  // namespace attune

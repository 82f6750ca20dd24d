// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/methods/registry.h"
#include "common/tables/delimited.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "site_agent/commands/command.h"
#include "site_agent/harmonize.h"
#include "site_agent/tables/column_map.h"
#include "site_agent/tables/derivative.h"

namespace attune {
namespace {

struct ApplyArguments {
  std::string model;
  TableArguments tables;
  std::string site;
  std::string batch;
  std::string out;
  ImageType output = ImageType::kFloat32;
};

absl::StatusOr<FittedModel> ReadModel(const std::string& path) {
  FittedModel model;
  ATTUNE_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  ATTUNE_RETURN_IF_ERROR(FromJson(json, path, &model.file));
  const std::string parameters = (std::filesystem::path(path).parent_path() / kModelParameters).string();
  auto by_batch = model.file.voxels() > 0 ? ModelsOf(model.file, parameters) : ModelsOf(model.file);
  if (!by_batch.ok()) return WithContext(by_batch.status(), absl::StrCat("'", path, "'"));
  model.by_batch = *std::move(by_batch);
  if (model.by_batch.empty()) return absl::InvalidArgumentError(absl::StrCat("'", path, "' holds no batch"));
  return model;
}

// The mask lies beside the model.
std::string MaskOf(const FittedModel& model, const std::string& model_path) {
  if (model.file.voxels() == 0) return "";
  const std::string name = std::filesystem::path(model.file.mask().file()).filename().string();
  return (std::filesystem::path(model_path).parent_path() / name).string();
}

std::vector<BatchId> KnownBatches(const FittedModel& model) {
  std::vector<BatchId> known;
  for (const auto& [batch, fitted] : model.by_batch) known.push_back(batch);
  return known;
}

// The site that the new subjects are of: the model's only one, or the one that was named.
absl::StatusOr<std::string> SiteOfModel(const FittedModel& model, const std::string& wanted) {
  std::set<std::string> sites;
  for (const auto& [batch, fitted] : model.by_batch) sites.insert(SiteOf(batch));
  if (wanted.empty() && sites.size() == 1) return *sites.begin();
  if (!wanted.empty() && sites.contains(wanted)) return wanted;
  return absl::NotFoundError(absl::StrCat(wanted.empty() ? "the model has several sites: give --site, one of "
                                                         : absl::StrCat("the model has no site '", wanted, "', only "),
                                          JoinSome({sites.begin(), sites.end()})));
}

// The one batch that --batch says everybody is of. Where participants.tsv has the study's batch columns, these say it.
absl::StatusOr<BatchId> BatchOfEverybody(const std::string& wanted, const v1::SiteConfig& config, const v1::StudyConfig& study,
                                         const std::vector<BatchId>& known) {
  absl::StatusOr<BatchId> batch = ResolveBatch(wanted, known);
  if (!batch.ok()) return WithContext(batch.status(), "--batch");
  ATTUNE_ASSIGN_OR_RETURN(const ColumnMap map, ColumnMap::Create(config, study));
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile participants, DelimitedFile::Open(config.participants()));
  for (const std::string& column : study.batch()) {
    if (!participants.ColumnOf(map.ColumnOf(column)).has_value()) continue;
    return absl::InvalidArgumentError(absl::StrCat("--batch says that everybody is of '", *batch, "', but ",
                                                   participants.path(), " has the column '", map.ColumnOf(column),
                                                   "', which says whose batch is which: give one of the two"));
  }
  return batch;
}

absl::Status CheckBatchesAreKnown(const SiteData& data, const FittedModel& model, const std::vector<BatchId>& known) {
  for (const BatchCount& batch : data.batches()) {
    if (model.by_batch.contains(batch.batch)) continue;
    return absl::NotFoundError(absl::StrCat("the model does not know batch '", batch.batch, "', only ", JoinSome(known),
                                            ": a new batch needs a study in which it takes part"));
  }
  return absl::OkStatus();
}

absl::Status Apply(const Globals& globals, const ApplyArguments& arguments) {
  ATTUNE_RETURN_IF_ERROR(CheckDerivativeFree(arguments.out, globals.force));
  ATTUNE_ASSIGN_OR_RETURN(const FittedModel model, ReadModel(arguments.model));
  const Method* method = FindMethod(model.file.method());
  if (method == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("'", arguments.model, "' is of method '", model.file.method(), "', which this version does not know"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteConfig config, SiteConfigOf(arguments.tables));
  const std::vector<BatchId> known = KnownBatches(model);
  SiteDataOptions options{.features = FeaturesOf(model.file),
                          .mask = MaskOf(model, arguments.model),
                          .mask_sha256 = model.file.mask().sha256(),
                          .threads = globals.Threads(),
                          .allow_harmonized_input = globals.force,
                          .for_apply = true};
  if (arguments.batch.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(options.site, SiteOfModel(model, arguments.site));
  } else {
    ATTUNE_ASSIGN_OR_RETURN(const BatchId batch, BatchOfEverybody(arguments.batch, config, model.file.config(), known));
    options.site = SiteOf(batch);
    options.batch_label = LabelOf(batch);
  }
  ATTUNE_ASSIGN_OR_RETURN(const SiteTables tables, OpenTables(config, model.file.config(), options));
  LogNotes(*tables.data);
  ATTUNE_RETURN_IF_ERROR(CheckBatchesAreKnown(*tables.data, model, known));
  return WriteHarmonized(*tables.data, *method, model, arguments.out, {arguments.output, globals.Threads()}, globals.force);
}

}  // namespace

void AddApply(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<ApplyArguments>();
  CLI::App* command = app->add_subcommand("apply", "Harmonize new subjects of known batches with a saved model");
  command->add_option("--model", arguments->model, "model.json of a finished study")->required();
  AddTableOptions(command, &arguments->tables);
  auto* site = command->add_option("--site", arguments->site, "the site of the subjects, where the model has several");
  command
      ->add_option("--batch", arguments->batch, "the batch of all subjects, where participants.tsv has no column that says so")
      ->excludes(site);
  command->add_option("--out", arguments->out, "the derivative folder to write")->required();
  AddOutputOptions(command, &arguments->output);
  command->callback([=] { *action = [=] { return Apply(*globals, *arguments); }; });
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "common/wire/json.h"
#include "coordinator/commands/commands.h"
#include "coordinator/estimate.h"
#include "coordinator/summary.h"

namespace attune {
namespace {

struct EstimateOptions {
  std::string manifest;
  std::string out;
  std::vector<std::string> answers;
  bool force = false;
};

absl::Status RunEstimate(const EstimateOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string manifest, ReadFile(options.manifest));
  const std::string scratch = (std::filesystem::temp_directory_path() / absl::StrCat("attune-question-", ::getpid())).string();
  const absl::StatusOr<Estimate> estimated = EstimateFromFiles(manifest, options.answers, FindMethod, scratch);
  if (!estimated.ok()) return WithContext(estimated.status(), absl::StrCat("with the manifest '", options.manifest, "'"));
  const Estimate& estimate = *estimated;
  std::map<std::string, std::string> texts;  // path -> content
  for (const auto& [site, model] : estimate.models) {
    texts[absl::StrCat(options.out, "/model-", site, ".json")] = ToJson(model);
  }
  if (estimate.summary.has_value()) texts[absl::StrCat(options.out, "/summary.json")] = ToJson(*estimate.summary);
  std::vector<std::string> outputs;
  for (const auto& [path, content] : texts) outputs.push_back(path);
  ATTUNE_RETURN_IF_ERROR(CheckOutputs(outputs, options.force));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options.out, FileAccess::kOwnerOnly));
  for (const auto& [path, content] : texts) ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(path, content, FileAccess::kOwnerOnly));
  spdlog::info("Wrote the models of {} sites to '{}'.", estimate.models.size(), options.out);
  if (estimate.summary.has_value()) std::cout << FormatSummary(*estimate.summary);
  return absl::OkStatus();
}

}  // namespace

void AddEstimateCommand(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("estimate", "Estimate from answer files alone, without a running study");
  const auto options = std::make_shared<EstimateOptions>();
  command->add_option("--manifest", options->manifest, "The frozen manifest (manifest.bin)")->required();
  command->add_option("--out", options->out, "The folder for model-<site>.json and summary.json")->required();
  command->add_flag("--force", options->force, "Write over existing files");
  command->add_option("answers", options->answers, "One answer file of each site")->required();
  command->callback([&line, options] { line.run = [options] { return RunEstimate(*options); }; });
}

}  // namespace attune

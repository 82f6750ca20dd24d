// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "coordinator/commands/commands.h"
#include "coordinator/study_view.h"
#include "coordinator/text_table.h"

namespace attune {
namespace {

struct StudyOptions {
  std::string name;  // or the study file
  bool json = false;
  bool plain_sums = false;
  std::string release;  // instead of the study file's; empty: as it says
};

using Action = absl::Status (*)(Operator& operator_desk, const StudyOptions& options);

// Reads the files that the study file names, which count from its folder; what is left of their paths is their names.
absl::StatusOr<StudyFiles> TakeFiles(const std::string& study_file, v1::StudyConfig* config) {
  StudyFiles files;
  if (!config->features().has_images()) return files;
  std::string& mask = *config->mutable_features()->mutable_images()->mutable_mask();
  const std::filesystem::path path = std::filesystem::path(study_file).parent_path() / mask;
  absl::StatusOr<std::string> bytes = ReadFile(path.string(), kMostAttachmentBytes);
  if (!bytes.ok()) return WithContext(bytes.status(), absl::StrCat(study_file, ": features.images.mask"));
  files[kMaskAttachment] = *std::move(bytes);
  mask = path.filename().string();
  return files;
}

absl::Status Create(Operator& operator_desk, const StudyOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(v1::StudyConfig config, ReadStudyFile(options.name));
  if (options.release == "per_batch") config.set_release(v1::RELEASE_PER_BATCH);
  if (options.release == "pooled") config.set_release(v1::RELEASE_POOLED);
  ATTUNE_ASSIGN_OR_RETURN(const StudyFiles files, TakeFiles(options.name, &config));
  if (absl::Status created = operator_desk.CreateStudy(config, options.plain_sums, files); !created.ok()) {
    return WithContext(created, options.name);
  }
  spdlog::info("The study '{}' recruits: sites register with 'attune-site register {}'.", config.study(), config.study());
  std::cout << config.study() << "\n";
  return absl::OkStatus();
}

absl::Status Start(Operator& operator_desk, const StudyOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string manifest_sha256, operator_desk.StartStudy(options.name));
  spdlog::info("The study '{}' runs. Its sites approve this manifest:", options.name);
  std::cout << manifest_sha256 << "\n";
  return absl::OkStatus();
}

absl::Status Show(Operator& operator_desk, const StudyOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyView view, operator_desk.ShowStudy(options.name));
  std::cout << (options.json ? ToJson(view) : FormatView(view));
  return absl::OkStatus();
}

absl::Status Seen(Operator& operator_desk, const StudyOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string seen, operator_desk.DescribeSeen(options.name));
  std::cout << seen;
  return absl::OkStatus();
}

absl::Status List(Operator& operator_desk, const StudyOptions&) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyList list, operator_desk.ListStudies());
  std::vector<std::vector<std::string>> rows = {{"study", "state", "sites", "waits for"}};
  for (const v1::StudyLine& study : list.studies()) {
    rows.push_back({study.study(), study.state(), absl::StrCat(study.sites()), absl::StrCat(study.waiting_for(), " sites")});
  }
  std::cout << FormatTable(rows, false);
  return absl::OkStatus();
}

absl::Status Close(Operator& operator_desk, const StudyOptions& options) {
  ATTUNE_RETURN_IF_ERROR(operator_desk.CloseStudy(options.name));
  spdlog::info("The study '{}' is closed.", options.name);
  return absl::OkStatus();
}

}  // namespace

void AddStudyCommands(CLI::App& app, CommandLine& line) {
  CLI::App* const study = app.add_subcommand("study", "The studies of the consortium");
  study->require_subcommand(1);
  const auto options = std::make_shared<StudyOptions>();
  const auto add = [&](const char* name, const char* help, Action action) {
    CLI::App* const command = study->add_subcommand(name, help);
    command->callback([&line, options, action, name = std::string(name)] {
      if (name == "create") line.recorded = "study create";
      if (name == "start" || name == "close") line.recorded = absl::StrCat("study ", name, " ", options->name);
      line.ask = [options, action](Operator& operator_desk) { return action(operator_desk, *options); };
    });
    return command;
  };
  CLI::App* const create = add("create", "Begin to recruit for the study of a study file; prints its name", Create);
  create->add_option("file", options->name, "The study file (YAML)")->required();
  create->add_option("--release", options->release, "Instead of the study file's: per_batch or pooled")
      ->check(CLI::IsMember({"per_batch", "pooled"}));
  create->add_flag(
      "--plain-sums", options->plain_sums,
      "With release: pooled, do not mask the sums. For simulations only: this coordinator would see the sums of each site, and "
      "site agents refuse it elsewhere");
  add("start", "Freeze the manifest and ask the first question; prints the manifest's hash", Start)
      ->add_option("name", options->name, "The study")
      ->required();
  CLI::App* const show = add("show", "State, sites, whom it waits for, and whether it helped", Show);
  show->add_option("name", options->name, "The study")->required();
  show->add_flag("--json", options->json, "As JSON");
  add("seen", "What this coordinator could see of the sites' data, for a privacy officer", Seen)
      ->add_option("name", options->name, "The study")
      ->required();
  add("list", "All studies", List);
  add("close", "End a study for good", Close)->add_option("name", options->name, "The study")->required();
}

}  // namespace attune

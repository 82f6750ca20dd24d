// SPDX-License-Identifier: Apache-2.0
#include "site_agent/commands/command.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "common/wire/yaml.h"

namespace attune {

int Globals::Threads() const {
  return threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<absl::Duration> PatienceOf(double seconds) {
  if (seconds < 0) return std::nullopt;
  return absl::Seconds(seconds);
}

void LogNotes(const SiteData& data) {
  for (const std::string& note : data.notes()) spdlog::info("{}", note);
}

StudyInput HeldStudyInput(const StudyFolder& folder, const v1::StudyConfig& config,
                          const google::protobuf::RepeatedPtrField<v1::Attachment>& attachments) {
  const v1::Attachment* mask = FindAttachment(attachments, kMaskAttachment);
  if (mask == nullptr) return {config, "", ""};
  return {config, folder.AttachmentPath(kMaskAttachment), mask->sha256()};
}

absl::StatusOr<StudyInput> ReadStudyInput(const std::string& study_file) {
  StudyInput study;
  ATTUNE_ASSIGN_OR_RETURN(study.config, ReadStudyFile(study_file));
  if (!study.config.features().has_images()) return study;
  std::string& mask = *study.config.mutable_features()->mutable_images()->mutable_mask();
  const std::filesystem::path path = std::filesystem::path(study_file).parent_path() / mask;
  study.mask = path.string();
  mask = path.filename().string();
  return study;
}

absl::StatusOr<StudyInput> StudyInputOf(const Home& home, const std::string& study) {
  if (FileExists(study)) return ReadStudyInput(study);
  if (!IsPlainName(study)) return absl::NotFoundError(absl::StrCat("there is no study file '", study, "'"));
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(study));
  if (auto kept = folder.ReadStudy(); kept.ok()) return HeldStudyInput(folder, kept->config(), kept->attachments());
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, std::nullopt));
  ATTUNE_ASSIGN_OR_RETURN(const v1::GetStudyReply reply, AskForStudy(folder, study, courier.get()));
  return HeldStudyInput(folder, reply.config(), reply.attachments());
}

absl::StatusOr<SiteTables> OpenHomeTables(const Globals& globals, const std::string& site, const StudyInput& study,
                                          FeatureNames features) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteConfig config, Home(globals.dir).ReadSiteConfig());
  return OpenTables(config, study.config,
                    {.site = site,
                     .folder = globals.dir,
                     .features = std::move(features),
                     .mask = study.mask,
                     .mask_sha256 = study.mask_sha256,
                     .threads = globals.Threads(),
                     .allow_harmonized_input = globals.force});
}

void AddOutputOptions(CLI::App* command, ImageType* type) {
  static const std::map<std::string, ImageType>& names =
      *new std::map<std::string, ImageType>{{"float32", ImageType::kFloat32}, {"float64", ImageType::kFloat64}};
  command->add_option("--dtype", *type, "how harmonized images are stored: float32 (default) or float64")
      ->transform(CLI::CheckedTransformer(names));
}

void AddTableOptions(CLI::App* command, TableArguments* arguments) {
  command->add_option("--participants", arguments->participants, "participants.tsv of the subjects")->required();
  auto* features = command->add_option("--features", arguments->features, "table(s) of features, joined by participant id");
  command
      ->add_option("--images", arguments->images,
                   "where the features are images: the folder from which the column 'image' of participants.tsv counts")
      ->excludes(features);
  command->add_option("--site-file", arguments->site_file, "site.yaml whose column names, codes and units to use");
}

absl::StatusOr<v1::SiteConfig> SiteConfigOf(const TableArguments& arguments) {
  v1::SiteConfig config;
  if (!arguments.site_file.empty()) ATTUNE_RETURN_IF_ERROR(ReadYamlFile(arguments.site_file, &config));
  config.set_participants(std::filesystem::absolute(arguments.participants).string());
  config.clear_features();
  config.clear_images();
  if (!arguments.images.empty()) config.set_images(std::filesystem::absolute(arguments.images).string());
  for (const std::string& table : arguments.features) config.add_features(std::filesystem::absolute(table).string());
  return config;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/derivative.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/wire/json.h"

namespace attune {
namespace {

constexpr const char* kFiles[] = {kHarmonizedTable, kHarmonizedSidecar, kHarmonizedImages, kHarmonizedImagesSidecar,
                                  kModelFile,       kModelParameters,   kDescriptionFile};
// What a derivative is complete with, and the sidecar that stands before it.
constexpr std::pair<const char*, const char*> kLast[] = {{kHarmonizedTable, kHarmonizedSidecar},
                                                         {kHarmonizedImages, kHarmonizedImagesSidecar}};
constexpr char kGeneratedBy[] = "\"GeneratedBy\": [\n    {\n      \"Name\": \"attune\"";

std::string PathIn(const std::string& folder, absl::string_view file) {
  return (std::filesystem::path(folder) / std::string(file)).string();
}

// What cannot be replaced whatever the options.
absl::Status CheckReplaceable(const std::string& folder) {
  std::error_code ignored;
  if (FileExists(folder) && !std::filesystem::is_directory(folder, ignored)) {
    return absl::InvalidArgumentError(absl::StrCat("'", folder, "' is not a folder; choose another for the output"));
  }
  for (const char* file : kFiles) {
    const std::string path = PathIn(folder, file);
    if (!FileExists(path) || std::filesystem::is_regular_file(path, ignored)) continue;
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is in the way and is not a file; choose another folder"));
  }
  const std::string description = PathIn(folder, kDescriptionFile);
  if (!FileExists(description)) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadFile(description, std::uint64_t{1} << 20);
  if (text.ok() && absl::StrContains(*text, kGeneratedBy)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("'", description, "' describes a data set that is not Attune's; choose another folder"));
}

absl::StatusOr<AtomicFile> Stage(const std::string& path, absl::string_view text) {
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, FileAccess::kShared));
  file.Write(text);
  ATTUNE_RETURN_IF_ERROR(file.Sync());
  return file;
}

}  // namespace

std::string DatasetDescription(const std::string& study) {
  return absl::StrCat("{\n  \"Name\": \"Features harmonized by Attune in the study ", study,
                      "\",\n  \"BIDSVersion\": \"1.8.0\",\n  \"DatasetType\": \"derivative\",\n  ", kGeneratedBy,
                      ",\n      \"Version\": \"", kVersion, "\"\n    }\n  ]\n}\n");
}

void FillInSidecar(const SiteData& data, absl::string_view model_json, v1::Sidecar* sidecar) {
  sidecar->set_harmonization_applied(true);
  sidecar->set_software_version(kVersion);
  sidecar->set_model_sha256(Sha256Hex(model_json));
  sidecar->mutable_inputs()->Assign(data.inputs().begin(), data.inputs().end());
  sidecar->clear_batches();
  std::int64_t subjects = 0;
  std::int64_t excluded = 0;
  for (const BatchCount& batch : data.batches()) {
    sidecar->add_batches(batch.batch);
    subjects += batch.subjects;
    excluded += batch.excluded;
  }
  sidecar->set_subjects(static_cast<std::uint64_t>(subjects));
  sidecar->set_subjects_excluded(static_cast<std::uint64_t>(excluded));
}

absl::Status CheckIsNoInput(const SiteData& data, const std::string& folder) {
  std::error_code ignored;
  for (const std::string& input : data.input_paths()) {
    for (const char* file : kFiles) {
      if (!std::filesystem::equivalent(input, PathIn(folder, file), ignored)) continue;
      return absl::AlreadyExistsError(absl::StrCat("the output would replace the ", data.images() == nullptr ? "table" : "file",
                                                   " that is read, '", input, "'; choose another folder"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDerivativeFree(const std::string& folder, bool force) {
  ATTUNE_RETURN_IF_ERROR(CheckReplaceable(folder));
  const bool interrupted = std::any_of(std::begin(kLast), std::end(kLast), [&](const auto& last) {
    return FileExists(PathIn(folder, last.second)) && !FileExists(PathIn(folder, last.first));
  });
  if (force || interrupted) return absl::OkStatus();
  for (const char* file : kFiles) {
    if (FileExists(PathIn(folder, file))) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", PathIn(folder, file), "' exists; choose another folder, or --force to replace what is there"));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteDerivative(const SiteData& data, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply,
                             v1::Sidecar sidecar, absl::string_view model_json, const DerivativeOptions& options) {
  if (!IsPlainName(sidecar.study())) {
    return absl::InvalidArgumentError(absl::StrCat("'", sidecar.study(), "' is no name of a study"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckDerivativeFree(options.folder, options.force));
  ATTUNE_RETURN_IF_ERROR(CheckIsNoInput(data, options.folder));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options.folder, FileAccess::kShared));
  FillInSidecar(data, model_json, &sidecar);

  // Everything that can fail, on the data or on the disk, comes before the files of an earlier run are touched.
  const std::string table = PathIn(options.folder, kHarmonizedTable);
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter staged_table, data.StageTable(table, apply));
  ATTUNE_RETURN_IF_ERROR(staged_table.Sync());
  const std::vector<std::pair<const char*, std::string>> files = {{kHarmonizedSidecar, ToJson(sidecar)},
                                                                  {kDescriptionFile, DatasetDescription(sidecar.study())},
                                                                  {kModelFile, std::string(model_json)}};
  std::vector<AtomicFile> staged;
  for (const auto& [name, text] : files) {
    ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, Stage(PathIn(options.folder, name), text));
    staged.push_back(std::move(file));
  }
  CrashPoint("site.output_staged");
  // From here on the old table must not stand beside a new model.
  if (::unlink(table.c_str()) != 0 && errno != ENOENT) {
    return absl::InternalError(absl::StrCat("cannot replace '", table, "': ", std::strerror(errno)));
  }
  for (AtomicFile& file : staged) ATTUNE_RETURN_IF_ERROR(std::move(file).Commit());
  CrashPoint("site.model_written");
  return std::move(staged_table).Commit();
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/derivative.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/wire/json.h"

namespace attune {
namespace {

// The harmonized table while the other files are being written. Left behind only by a process that was killed.
constexpr char kDraftFile[] = ".desc-harmonized_features.draft.tsv";
constexpr char kGeneratedBy[] = "\"GeneratedBy\": [\n    {\n      \"Name\": \"attune\"";

std::string PathIn(const std::string& folder, absl::string_view file) {
  return (std::filesystem::path(folder) / std::string(file)).string();
}

std::string Description(const std::string& study) {
  return absl::StrCat("{\n  \"Name\": \"Features harmonized by Attune in the study ", study,
                      "\",\n  \"BIDSVersion\": \"1.8.0\",\n  \"DatasetType\": \"derivative\",\n  ", kGeneratedBy,
                      ",\n      \"Version\": \"", kVersion, "\"\n    }\n  ]\n}\n");
}

void FillIn(const SiteData& data, absl::string_view model_json, v1::Sidecar* sidecar) {
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

// A table in the making, which goes with it unless it is put in its place.
class Draft {
 public:
  explicit Draft(std::string path) : path_(std::move(path)) {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() { ::unlink(path_.c_str()); }

  const std::string& path() const { return path_; }

  // Puts it into its place in the same folder, durably.
  absl::Status MoveTo(const std::string& path, const std::string& folder) const {
    if (std::rename(path_.c_str(), path.c_str()) != 0) {
      return absl::InternalError(absl::StrCat("cannot write '", path, "': ", std::strerror(errno)));
    }
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
      ::fsync(descriptor);
      ::close(descriptor);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
};

}  // namespace

absl::Status CheckDerivativeFree(const std::string& folder, bool force) {
  const std::string description = PathIn(folder, kDescriptionFile);
  if (FileExists(description)) {
    const absl::StatusOr<std::string> text = ReadFile(description, std::uint64_t{1} << 20);
    if (!text.ok() || !absl::StrContains(*text, kGeneratedBy)) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", description, "' describes a data set that is not Attune's; choose another folder"));
    }
  }
  const bool interrupted = FileExists(PathIn(folder, kDraftFile)) && !FileExists(PathIn(folder, kHarmonizedTable));
  if (force || interrupted) return absl::OkStatus();
  for (const char* file : {kHarmonizedTable, kHarmonizedSidecar, kModelFile, kDescriptionFile}) {
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
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options.folder, FileAccess::kShared));
  FillIn(data, model_json, &sidecar);

  // What can fail on the data comes first, beside the files of an earlier run.
  const Draft draft(PathIn(options.folder, kDraftFile));
  ATTUNE_RETURN_IF_ERROR(data.WriteTable(draft.path(), apply));
  // From here on the old table must not stand beside a new model.
  const std::string table = PathIn(options.folder, kHarmonizedTable);
  if (::unlink(table.c_str()) != 0 && errno != ENOENT) {
    return absl::InternalError(absl::StrCat("cannot replace '", table, "': ", std::strerror(errno)));
  }
  const std::vector<std::pair<const char*, std::string>> files = {{kDescriptionFile, Description(sidecar.study())},
                                                                  {kModelFile, std::string(model_json)},
                                                                  {kHarmonizedSidecar, ToJson(sidecar)}};
  for (const auto& [name, text] : files) {
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(PathIn(options.folder, name), text, FileAccess::kShared));
  }
  return draft.MoveTo(table, options.folder);
}

}  // namespace attune

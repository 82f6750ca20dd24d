// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/gather.h"

#include <filesystem>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/json.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

absl::Status Copied(const std::error_code& error, const fs::path& what) {
  if (!error) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot copy '", what.string(), "': ", error.message()));
}

// All files below `from`, which nobody writes in place.
absl::Status LinkFolder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to, error);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from, error)) {
    const fs::path target = to / entry.path().lexically_relative(from);
    if (entry.is_directory()) {
      fs::create_directories(target, error);
    } else {
      ATTUNE_RETURN_IF_ERROR(LinkOrCopyFile(entry.path().string(), target.string(), FileAccess::kShared));
    }
    if (error) break;
  }
  return Copied(error, from);
}

// Moves a site's harmonized images to those of the others: too many to be there twice.
absl::Status MoveImages(const fs::path& from, const fs::path& to) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from, error)) {
    if (!entry.is_regular_file()) continue;
    const fs::path target = to / entry.path().lexically_relative(from);
    fs::create_directories(target.parent_path(), error);
    fs::rename(entry.path(), target, error);
    if (error) return Copied(error, entry.path());
  }
  fs::remove_all(from, error);
  return Copied(error, from);
}

// A model of images is three files that name each other.
absl::Status LinkModel(const fs::path& derivative, const std::string& mask_name, const fs::path& to) {
  std::error_code error;
  fs::create_directory(to, error);
  for (const std::string& file : {std::string("model.json"), std::string("model.bundle"), mask_name}) {
    ATTUNE_RETURN_IF_ERROR(LinkOrCopyFile((derivative / file).string(), (to / file).string(), FileAccess::kShared));
  }
  return Copied(error, to);
}

// The journal and its blobs, and the throw-away authority that `attune-coordinator verify` and `study show` ask for.
absl::Status CopyCoordinator(const fs::path& from, const fs::path& to) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(to.string(), FileAccess::kShared));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(from, error)) {
    const fs::path name = entry.path().filename();
    if (name == "endpoint") continue;
    if (name == "blobs") {
      ATTUNE_RETURN_IF_ERROR(LinkFolder(entry.path(), to / name));
      continue;
    }
    fs::copy(entry.path(), to / name, fs::copy_options::recursive, error);
    ATTUNE_RETURN_IF_ERROR(Copied(error, entry.path()));
  }
  return Copied(error, from);
}

}  // namespace

std::vector<std::string> InputsOf(const DataSet& data) {
  std::vector<std::string> inputs = {data.participants};
  inputs.insert(inputs.end(), data.features.begin(), data.features.end());
  return inputs;
}

absl::StatusOr<v1::StudyView> Gather(const ResultsFolder& results, const DataSet& data, Consortium& consortium,
                                     const v1::StudyConfig& config, const std::vector<std::string>& sites) {
  const bool images = !data.images.empty();
  const std::string mask_name = fs::path(config.features().images().mask()).filename().string();
  std::map<std::string, std::string> tables;
  std::vector<v1::Sidecar> sidecars;
  const fs::path models = results.Staged("models");
  ATTUNE_RETURN_IF_ERROR(MakeFolder(models.string(), FileAccess::kShared));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(results.Staged("sites"), FileAccess::kShared));
  for (const std::string& site : sites) {
    const fs::path derivative = consortium.DerivativeFolder(site);
    const std::string name = images ? "desc-harmonized_images" : "desc-harmonized_features";
    tables[site] = (derivative / (name + ".tsv")).string();
    const fs::path sidecar = derivative / (name + ".json");
    ATTUNE_ASSIGN_OR_RETURN(const std::string json, ReadFile(sidecar.string()));
    ATTUNE_RETURN_IF_ERROR(FromJson(json, sidecar.string(), &sidecars.emplace_back()));
    if (images) ATTUNE_RETURN_IF_ERROR(MoveImages(derivative / "images", results.Staged("images")));
    ATTUNE_RETURN_IF_ERROR(LinkFolder(derivative, fs::path(results.Staged("sites")) / site));
    ATTUNE_RETURN_IF_ERROR(images ? LinkModel(derivative, mask_name, models / site)
                                  : LinkOrCopyFile((derivative / "model.json").string(), (models / (site + ".json")).string(),
                                                   FileAccess::kShared));
  }
  ATTUNE_RETURN_IF_ERROR(JoinSites(data, tables, results.Staged("harmonized.tsv")));
  ATTUNE_ASSIGN_OR_RETURN(v1::Sidecar sidecar, JoinSidecars(sidecars));
  for (const std::string& input : InputsOf(data)) {
    v1::FileDigest& digest = *sidecar.add_inputs();
    digest.set_file(fs::path(input).filename().string());
    ATTUNE_ASSIGN_OR_RETURN(*digest.mutable_sha256(), Sha256OfFile(input));
  }
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(results.Staged("harmonized.json"), ToJson(sidecar), FileAccess::kShared));
  v1::StudyView view;
  ATTUNE_ASSIGN_OR_RETURN(const std::string shown, consortium.Coordinator({"study", "show", config.study(), "--json"}));
  ATTUNE_RETURN_IF_ERROR(FromJson(shown, "what 'study show' printed", &view));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(results.Staged("summary.json"), ToJson(view.summary()), FileAccess::kShared));
  ATTUNE_RETURN_IF_ERROR(CopyCoordinator(consortium.CoordinatorFolder(), results.Staged("coordinator")));
  return view;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/results.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/files.h"
#include "common/base/status.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

// Names, a line each, what attune-simulate made in the folder: by this a later run knows what it may replace.
constexpr char kMarker[] = ".attune-simulate";
constexpr char kWork[] = "work";

bool LiesIn(const std::string& path, const std::string& folder) {
  std::error_code ignored;
  const fs::path inside = fs::weakly_canonical(path, ignored);
  const fs::path around = fs::weakly_canonical(folder, ignored);
  return std::mismatch(around.begin(), around.end(), inside.begin(), inside.end()).first == around.end();
}

absl::Status FileError(absl::string_view what, const std::string& path, const std::error_code& error) {
  return absl::InternalError(absl::StrCat("cannot ", what, " '", path, "': ", error.message()));
}

}  // namespace

absl::Status ResultsFolder::Begin(const std::vector<std::string>& inputs, bool force) {
  std::error_code error;
  made_folder_ = !fs::exists(path_);
  if (!made_folder_ && !fs::is_directory(path_)) {
    return absl::InvalidArgumentError(absl::StrCat("--out '", path_, "' is not a folder"));
  }
  const std::string marker = ReadFile(Path(kMarker)).value_or("");
  ours_ = absl::StrSplit(marker, '\n', absl::SkipEmpty());
  std::vector<std::string> names = outputs_;
  names.emplace_back(kWork);
  for (const std::string& name : names) {
    const std::string path = Path(name);
    if (!fs::exists(path)) continue;
    if (ours_.count(name) == 0) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", path, "' exists and was not made by attune-simulate; use another --out"));
    }
    if (!force) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", path, "' exists; use another --out, or --force to replace what an earlier run wrote"));
    }
    for (const std::string& input : inputs) {
      if (!LiesIn(input, path)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("'", input, "' lies in '", path, "', which would be replaced; use another --out"));
    }
  }
  fs::remove_all(work(), error);
  if (error) return FileError("remove", work(), error);
  ATTUNE_RETURN_IF_ERROR(MakeFolder(path_, FileAccess::kShared));
  ours_.insert(kWork);
  ATTUNE_RETURN_IF_ERROR(WriteMarker());
  ATTUNE_RETURN_IF_ERROR(MakeFolder(work(), FileAccess::kOwnerOnly));
  return MakeFolder(work() + "/results", FileAccess::kShared);
}

absl::Status ResultsFolder::WriteMarker() const {
  return WriteFileAtomically(Path(kMarker), absl::StrCat(absl::StrJoin(ours_, "\n"), "\n"), FileAccess::kShared);
}

absl::Status ResultsFolder::Publish() {
  // The old ones step aside first, so that what goes wrong here loses neither them nor the new ones.
  const std::string aside = work() + "/replaced";
  ATTUNE_RETURN_IF_ERROR(MakeFolder(aside, FileAccess::kOwnerOnly));
  publishing_ = true;
  std::error_code error;
  const auto lost = [&](const std::string& path) {
    const absl::Status status = FileError("replace", path, error);
    return absl::Status(status.code(), absl::StrCat(status.message(), "; the new results are in '", work(),
                                                    "/results', those before in '", aside, "'"));
  };
  for (const std::string& output : outputs_) {
    if (!fs::exists(Path(output))) continue;
    fs::rename(Path(output), absl::StrCat(aside, "/", output), error);
    if (error) return lost(Path(output));
    ours_.erase(output);
  }
  for (const std::string& output : outputs_) {
    if (!fs::exists(Staged(output))) continue;
    fs::rename(Staged(output), Path(output), error);
    if (error) return lost(Path(output));
    ours_.insert(output);
  }
  ATTUNE_RETURN_IF_ERROR(WriteMarker());
  publishing_ = false;
  return absl::OkStatus();
}

void ResultsFolder::CleanUp(bool keep) {
  if (keep || publishing_) return;
  std::error_code ignored;
  fs::remove_all(work(), ignored);
  ours_.erase(kWork);
  if (!ours_.empty()) {
    WriteMarker().IgnoreError();  // one that still names the work folder does no harm
    return;
  }
  fs::remove(Path(kMarker), ignored);
  if (made_folder_) fs::remove(path_, ignored);  // only when it is empty
}

absl::StatusOr<v1::Sidecar> JoinSidecars(const std::vector<v1::Sidecar>& sites) {
  if (sites.empty()) return absl::InvalidArgumentError("there is no site's sidecar");
  v1::Sidecar joined = sites.front();
  joined.clear_inputs();  // the sites' own files
  joined.clear_model_sha256();
  joined.clear_batches();
  std::vector<std::string> batches;
  std::vector<std::string> notes;
  std::uint64_t subjects = 0;
  std::uint64_t excluded = 0;
  for (const v1::Sidecar& site : sites) {
    if (site.manifest_sha256() != joined.manifest_sha256()) {
      return absl::InvalidArgumentError("the sites' tables are not of one study");
    }
    batches.insert(batches.end(), site.batches().begin(), site.batches().end());
    for (const std::string& note : site.notes()) {
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    }
    subjects += site.subjects();
    excluded += site.subjects_excluded();
  }
  std::sort(batches.begin(), batches.end());
  joined.mutable_batches()->Assign(batches.begin(), batches.end());
  joined.mutable_notes()->Assign(notes.begin(), notes.end());
  joined.set_subjects(static_cast<std::uint32_t>(subjects));
  joined.set_subjects_excluded(static_cast<std::uint32_t>(excluded));
  return joined;
}

}  // namespace attune

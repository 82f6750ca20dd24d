// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/image_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/parallel.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/delimited.h"
#include "common/wire/harmonized_input.h"
#include "site_agent/imaging/read_ahead.h"
#include "site_agent/tables/column_map.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

std::string Resolve(const std::string& folder, const std::string& path) {
  return (fs::path(folder) / path).lexically_normal().string();
}

absl::Status CheckNotHarmonized(const std::string& path, bool allow) {
  const std::optional<std::string> study = allow ? std::nullopt : HarmonizedInStudy(path);
  if (!study.has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", DescribeHarmonized(*study), " '", SidecarPathOf(path),
                                                 "'; give the image as it was before, or --force to harmonize it again"));
}

// What is wrong with the values of an image of which not all are finite, if anything.
absl::Status CheckValues(std::span<const double> values, bool missing_allowed, const std::string& path) {
  for (std::size_t v = 0; v < values.size(); ++v) {
    if (std::isinf(values[v])) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": voxel ", v, " of the mask is infinite; correct the image, or make the voxel NaN if it is missing"));
    }
    if (std::isnan(values[v]) && !missing_allowed) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": voxel ", v,
                       " of the mask is NaN; complete the image, take a smaller mask, or let the study allow it with 'missing: "
                       "allow' under method: combat"));
    }
  }
  return absl::OkStatus();
}

v1::FileDigest DigestOf(const std::string& path, const std::string& sha256) {
  v1::FileDigest digest;
  digest.set_file(fs::path(path).filename().string());
  digest.set_sha256(sha256);
  return digest;
}

}  // namespace

std::string HarmonizedImageName(const std::string& name) {
  const fs::path path(name);
  const std::string file = path.filename().string();
  absl::string_view rest = file;
  absl::ConsumeSuffix(&rest, ".gz");
  absl::ConsumeSuffix(&rest, ".nii");
  const std::string stem(rest);
  std::string renamed;
  if (const std::size_t desc = stem.find("_desc-"); desc != std::string::npos) {
    const std::size_t end = std::min(stem.find('_', desc + 1), stem.size());
    renamed = absl::StrCat(stem.substr(0, end), "Harmonized", stem.substr(end));
  } else {
    const std::size_t last = stem.rfind('_');
    renamed = last == std::string::npos ? absl::StrCat(stem, "_desc-harmonized")
                                        : absl::StrCat(stem.substr(0, last), "_desc-harmonized", stem.substr(last));
  }
  return (path.parent_path() / (renamed + ".nii.gz")).string();
}

absl::StatusOr<std::unique_ptr<ImageData>> ImageData::Open(const v1::SiteConfig& site, const v1::StudyConfig& study,
                                                           const SiteDataOptions& options) {
  if (site.participants().empty()) {
    return absl::InvalidArgumentError("site.yaml: expected the path of participants.tsv: participants");
  }
  const std::string participants_path = Resolve(options.folder, site.participants());
  ATTUNE_RETURN_IF_ERROR(CheckNotHarmonized(participants_path, options.allow_harmonized_input));
  absl::StatusOr<Mask> mask = Mask::Open(options.mask);
  if (!mask.ok()) return WithContext(mask.status(), "the study's mask");
  if (!options.mask_sha256.empty() && options.mask_sha256 != mask->sha256()) {
    return absl::InvalidArgumentError(absl::StrCat("the mask '", options.mask, "' is not the study's: its SHA-256 is ",
                                                   mask->sha256(), ", expected ", options.mask_sha256,
                                                   "; copy or fetch it again"));
  }
  if (!options.features.empty() && options.features.size() != mask->voxels()) {
    return absl::InvalidArgumentError(absl::StrCat("the study has ", options.features.size(), " voxels, its mask '",
                                                   options.mask, "' has ", mask->voxels(), ": it is another file"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const ColumnMap map, ColumnMap::Create(site, study));
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile participants, DelimitedFile::Open(participants_path));
  ATTUNE_ASSIGN_OR_RETURN(People people, ReadPeople(participants, site, study, map, options));
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t column, ColumnFor(participants, map, kImageColumn, "the images"));
  auto data = std::unique_ptr<ImageData>(new ImageData(std::move(people), *std::move(mask), options));
  data->mask_path_ = options.mask;
  data->folder_ = Resolve(options.folder, site.images().empty() ? "." : site.images());
  data->missing_allowed_ = options.for_apply || study.method().combat().missing() == v1::MISSING_VALUES_ALLOW;
  data->inputs_.push_back(DigestOf(participants_path, participants.sha256()));
  data->input_paths_.push_back(participants_path);
  ATTUNE_RETURN_IF_ERROR(data->ReadRows(participants, column, options));
  return data;
}

absl::Status ImageData::ReadRows(const DelimitedFile& participants, std::size_t column, const SiteDataOptions& options) {
  rows_.resize(people_.rows.size());
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, participants.ReadRow(row));
    if (IsMissing(cells[column])) {
      if (people_.rows[row].excluded) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(participants.Where(row, column), ": the row has no image; name its file, or remove the row"));
    }
    rows_[row].name = cells[column];
    rows_[row].path = Resolve(folder_, cells[column]);
  }
  ATTUNE_RETURN_IF_ERROR(CheckNames(participants, column));
  std::vector<absl::Status> statuses(rows_.size());
  ParallelFor(rows_.size(), options.threads, [&](std::size_t row) {
    ImageRow& image = rows_[row];
    if (people_.rows[row].excluded) return;
    const auto look = [&]() -> absl::Status {
      ATTUNE_RETURN_IF_ERROR(CheckNotHarmonized(image.path, options.allow_harmonized_input));
      ATTUNE_ASSIGN_OR_RETURN(const NiftiHeader header, ReadNiftiHeader(image.path));
      if (const std::string difference = DescribeGridDifference(header.grid(), mask_.grid()); !difference.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat(image.path, ": ", difference, "; resample the image to the grid of the study's mask"));
      }
      ATTUNE_ASSIGN_OR_RETURN(image.sha256, Sha256OfFile(image.path));
      return absl::OkStatus();
    };
    statuses[row] = look();
  });
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (!statuses[row].ok()) return WithContext(statuses[row], participants.Where(row, column));
    if (people_.rows[row].excluded) continue;
    inputs_.push_back(DigestOf(rows_[row].path, rows_[row].sha256));
    input_paths_.push_back(rows_[row].path);
  }
  return absl::OkStatus();
}

absl::Status ImageData::CheckNames(const DelimitedFile& participants, std::size_t column) const {
  std::map<std::string, std::size_t> seen;
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (people_.rows[row].excluded) continue;
    const std::string out = fs::path(HarmonizedImageName(rows_[row].name)).lexically_normal().string();
    const auto [first, is_new] = seen.emplace(out, row);
    if (!is_new) {
      return absl::InvalidArgumentError(absl::StrCat(
          participants.Where(row, column), ": '", rows_[row].name, "' would be harmonized to the same file as '",
          rows_[first->second].name, "' in line ", participants.LineOf(first->second), "; give each row an image of its own"));
    }
    if (fs::path(out).is_absolute() || absl::StartsWith(out, "..")) {
      return absl::InvalidArgumentError(absl::StrCat(participants.Where(row, column), ": '", rows_[row].name,
                                                     "' is not in the folder of images ('", folder_,
                                                     "'), from which the column counts; set images in site.yaml, or --images"));
    }
  }
  return absl::OkStatus();
}

absl::Status ImageData::Read(std::size_t row, NiftiImage* image, std::span<double> values) const {
  const std::string& path = rows_[row].path;
  ATTUNE_RETURN_IF_ERROR(ReadNifti(path, &mask_.grid(), image));
  if (image->file_sha256 != rows_[row].sha256) {
    return absl::DataLossError(absl::StrCat(path, ": was changed while it was in use; run again"));
  }
  return Gather(*image, mask_.runs(), values) ? absl::OkStatus() : CheckValues(values, missing_allowed_, path);
}

std::vector<std::size_t> ImageData::RowsInOrderOfIds() const {
  std::vector<std::size_t> order;
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (!people_.rows[row].excluded) order.push_back(row);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return people_.rows[a].id < people_.rows[b].id; });
  return order;
}

absl::Status ImageData::ForEachPerson(absl::FunctionRef<absl::Status(const Subject&)> visit) const {
  for (const std::size_t row : RowsInOrderOfIds()) ATTUNE_RETURN_IF_ERROR(visit(people_.SubjectOf(row, {})));
  return absl::OkStatus();
}

absl::Status ImageData::ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const {
  const std::vector<std::size_t> order = RowsInOrderOfIds();
  struct Slot {
    NiftiImage image;
    std::vector<double> values;
  };
  return ReadAhead<Slot>(
      order.size(), threads_,
      [&](std::size_t i, Slot* slot) {
        slot->values.resize(features_.size());
        return Read(order[i], &slot->image, slot->values);
      },
      [&](std::size_t i, const Slot& slot) { return visit(people_.SubjectOf(order[i], slot.values)); });
}

}  // namespace attune

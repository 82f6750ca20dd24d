// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/mask.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "site_agent/imaging/voxel_values.h"

namespace attune {

absl::StatusOr<Mask> Mask::Open(const std::string& path) {
  NiftiImage image;
  ATTUNE_RETURN_IF_ERROR(ReadNifti(path, nullptr, &image));
  std::vector<VoxelRun> runs;
  std::size_t voxels = 0;
  std::array<double, 4096> piece;
  const std::size_t size = image.header.grid().voxels();
  for (std::size_t first = 0; first < size; first += piece.size()) {
    const std::size_t count = std::min(piece.size(), size - first);
    ConvertVoxels(image, {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count)}, piece.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (std::isnan(piece[i])) return absl::InvalidArgumentError(absl::StrCat(path, ": the mask has a voxel that is NaN"));
      if (piece[i] == 0) continue;
      const auto voxel = static_cast<std::uint32_t>(first + i);
      if (runs.empty() || runs.back().first + runs.back().count != voxel) runs.push_back({voxel, 0});
      ++runs.back().count;
      ++voxels;
    }
  }
  if (voxels == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the mask is 0 everywhere; expected 1 where voxels count"));
  }
  return Mask(image.header, std::move(runs), voxels, image.file_sha256);
}

}  // namespace attune

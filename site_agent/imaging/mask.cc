// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/mask.h"

#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {

absl::StatusOr<Mask> Mask::Open(const std::string& path) {
  NiftiImage image;
  ATTUNE_RETURN_IF_ERROR(ReadNifti(path, nullptr, &image));
  std::vector<std::uint32_t> all(image.header.grid().voxels());
  std::iota(all.begin(), all.end(), 0U);
  std::vector<double> values(all.size());
  Gather(image, all, values);
  std::vector<std::uint32_t> indices;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) return absl::InvalidArgumentError(absl::StrCat(path, ": the mask has a voxel that is NaN"));
    if (values[i] != 0) indices.push_back(static_cast<std::uint32_t>(i));
  }
  if (indices.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the mask is 0 everywhere; expected 1 where voxels count"));
  }
  return Mask(image.header, std::move(indices), image.file_sha256);
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_IMAGING_MASK_H_
#define ATTUNE_SITE_AGENT_IMAGING_MASK_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "site_agent/imaging/nifti.h"

namespace attune {

// Which voxels of a grid count: those where the mask's value is not 0, with x running fastest, then y, then z.
class Mask {
 public:
  // Fails as ReadNifti does, and with InvalidArgument when a voxel is NaN or none counts.
  static absl::StatusOr<Mask> Open(const std::string& path);

  const NiftiHeader& header() const { return header_; }
  const ImageGrid& grid() const { return header_.grid(); }
  // How many count.
  std::size_t voxels() const { return voxels_; }
  // All of them, in order, as few runs as there can be.
  std::span<const VoxelRun> runs() const { return runs_; }
  // Of the file's bytes.
  const std::string& sha256() const { return sha256_; }

 private:
  Mask(NiftiHeader header, std::vector<VoxelRun> runs, std::size_t voxels, std::string sha256)
      : header_(header), runs_(std::move(runs)), voxels_(voxels), sha256_(std::move(sha256)) {}

  NiftiHeader header_;
  std::vector<VoxelRun> runs_;
  std::size_t voxels_;
  std::string sha256_;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_MASK_H_

// SPDX-License-Identifier: Apache-2.0
#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/imaging/nifti_header.h"
#include "site_agent/imaging/voxel_values.h"

namespace attune {

struct NiftiBuffers::Compressor {
  ~Compressor() {
    if (handle != nullptr) libdeflate_free_compressor(handle);
  }
  libdeflate_compressor* handle = nullptr;
  int level = 0;
};

NiftiBuffers::NiftiBuffers() : compressor_(std::make_unique<Compressor>()) {}
NiftiBuffers::~NiftiBuffers() = default;

namespace {

absl::Status NoMemory(const std::string& path) {
  return absl::ResourceExhaustedError(absl::StrCat(path, ": there is no memory to write it"));
}

template <typename Real>
bool Holds(double value) {
  return !std::isfinite(value) || std::abs(value) <= static_cast<double>(std::numeric_limits<Real>::max());
}

// Whether Real holds every value of the run that is finite. Slow: for runs that have some that are not.
template <typename Real>
bool RunFits(const NiftiImage& image, VoxelRun run) {
  std::array<double, 1024> piece;
  while (run.count > 0) {
    const VoxelRun part = {run.first, std::min(run.count, static_cast<std::uint32_t>(piece.size()))};
    const auto end = piece.begin() + part.count;
    if (!ConvertVoxels(image, part, piece.data()) && !std::all_of(piece.begin(), end, Holds<Real>)) return false;
    run = {run.first + part.count, run.count - part.count};
  }
  return true;
}

// All voxels of the image, each once. False: a finite value is too large for Real.
template <typename Real>
bool Fill(const NiftiImage* like, std::size_t voxels, std::span<const VoxelRun> runs, std::span<const double> values,
          Real* out) {
  bool fits = true;
  std::uint32_t at = 0;
  const auto others = [&](std::size_t end) {
    const VoxelRun gap = {at, static_cast<std::uint32_t>(end - at)};
    if (like == nullptr) {
      std::fill_n(out + gap.first, gap.count, Real{0});
    } else if (!ConvertVoxels(*like, gap, out + gap.first)) {
      fits &= RunFits<Real>(*like, gap);
    }
  };
  const double* value = values.data();
  for (const VoxelRun& run : runs) {
    others(run.first);
    for (std::uint32_t i = 0; i < run.count; ++i) {
      fits &= Holds<Real>(value[i]);
      out[run.first + i] = static_cast<Real>(value[i]);
    }
    value += run.count;
    at = run.first + run.count;
  }
  others(voxels);
  return fits;
}

}  // namespace

class NiftiWriter {
 public:
  static absl::StatusOr<StagedImage> Stage(const std::string& path, const NiftiHeader& geometry, const NiftiImage* like,
                                           std::span<const VoxelRun> runs, std::span<const double> values, ImageType type,
                                           int gzip_level, FileAccess access, NiftiBuffers* buffers) {
    const std::string header = GeometryHeader(geometry, type);
    const std::size_t voxels = geometry.grid().voxels();
    const std::size_t voxel_bytes = type == ImageType::kFloat64 ? sizeof(double) : sizeof(float);
    if (!buffers->voxels_.Resize(header.size() + voxels * voxel_bytes)) return NoMemory(path);
    std::memcpy(buffers->voxels_.data(), header.data(), header.size());
    char* const data = buffers->voxels_.data() + header.size();  // a multiple of 8 bytes after the beginning
    const bool fits = type == ImageType::kFloat64 ? Fill(like, voxels, runs, values, reinterpret_cast<double*>(data))
                                                  : Fill(like, voxels, runs, values, reinterpret_cast<float*>(data));
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a voxel is too large for float32; write float64 (--dtype float64), or correct the image"));
    }
    NiftiBuffers::Compressor& compressor = *buffers->compressor_;
    if (compressor.handle == nullptr || compressor.level != gzip_level) {
      if (compressor.handle != nullptr) libdeflate_free_compressor(compressor.handle);
      compressor.handle = libdeflate_alloc_compressor(gzip_level);
      compressor.level = gzip_level;
      if (compressor.handle == nullptr) return NoMemory(path);
    }
    // Of this room only what is written takes memory.
    if (!buffers->compressed_.Resize(libdeflate_gzip_compress_bound(compressor.handle, buffers->voxels_.size()))) {
      return NoMemory(path);
    }
    const std::size_t compressed = libdeflate_gzip_compress(compressor.handle, buffers->voxels_.data(), buffers->voxels_.size(),
                                                            buffers->compressed_.data(), buffers->compressed_.size());
    if (compressed == 0) return absl::InternalError(absl::StrCat(path, ": cannot be compressed"));
    const absl::string_view bytes(buffers->compressed_.data(), compressed);
    ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, access));
    file.Write(bytes);
    return StagedImage{std::move(file), Sha256Hex(bytes)};
  }
};

absl::StatusOr<StagedImage> StageNifti(const std::string& path, const NiftiHeader& geometry, const NiftiImage* like,
                                       std::span<const VoxelRun> runs, std::span<const double> values, ImageType type,
                                       int gzip_level, FileAccess access, NiftiBuffers* buffers) {
  return NiftiWriter::Stage(path, geometry, like, runs, values, type, gzip_level, access, buffers);
}

}  // namespace attune

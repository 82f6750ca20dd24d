// SPDX-License-Identifier: Apache-2.0
#include <libdeflate.h>
#include <nifti2_io.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "site_agent/imaging/nifti.h"

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

// The geometry of a header, for voxels of another type; nothing that names a person or a study.
template <typename Header>
void Rewrite(ImageType type, std::size_t offset, Header* raw) {
  raw->dim[0] = 3;
  for (int i = 4; i < 8; ++i) raw->dim[i] = 1;
  raw->datatype = type == ImageType::kFloat64 ? DT_FLOAT64 : DT_FLOAT32;
  raw->bitpix = type == ImageType::kFloat64 ? 64 : 32;
  raw->vox_offset = static_cast<decltype(raw->vox_offset)>(offset);
  raw->scl_slope = 1;
  raw->scl_inter = 0;
  raw->cal_max = 0;
  raw->cal_min = 0;
  std::memset(raw->descrip, 0, sizeof(raw->descrip));
  std::memset(raw->aux_file, 0, sizeof(raw->aux_file));
  std::memset(raw->intent_name, 0, sizeof(raw->intent_name));
  raw->intent_code = 0;
  raw->intent_p1 = 0;
  raw->intent_p2 = 0;
  raw->intent_p3 = 0;
}

std::string HeaderBytes(const NiftiHeader& geometry, ImageType type) {
  std::string bytes;
  if (geometry.version == 2) {
    nifti_2_header raw;
    std::memcpy(&raw, geometry.bytes.data(), sizeof(raw));
    Rewrite(type, sizeof(raw) + 4, &raw);
    bytes.assign(reinterpret_cast<const char*>(&raw), sizeof(raw));
  } else {
    nifti_1_header raw;
    std::memcpy(&raw, geometry.bytes.data(), sizeof(raw));
    Rewrite(type, sizeof(raw) + 4, &raw);
    std::memset(raw.data_type, 0, sizeof(raw.data_type));
    std::memset(raw.db_name, 0, sizeof(raw.db_name));
    raw.extents = 0;
    raw.session_error = 0;
    raw.glmax = 0;
    raw.glmin = 0;
    bytes.assign(reinterpret_cast<const char*>(&raw), sizeof(raw));
  }
  return bytes.append(4, '\0');  // no extensions
}

// All voxels of `like` as Real, by way of Gather in pieces.
template <typename Real>
void CopyAll(const NiftiImage& like, Real* out) {
  constexpr std::size_t kPiece = 1 << 14;
  std::vector<std::uint32_t> indices(kPiece);
  std::vector<double> values(kPiece);
  const std::size_t voxels = like.header.grid().voxels();
  for (std::size_t first = 0; first < voxels; first += kPiece) {
    const std::size_t count = std::min(kPiece, voxels - first);
    std::iota(indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(count), static_cast<std::uint32_t>(first));
    Gather(like, std::span(indices).first(count), std::span(values).first(count));
    for (std::size_t i = 0; i < count; ++i) out[first + i] = static_cast<Real>(values[i]);
  }
}

template <typename Real>
void Fill(const NiftiImage* like, std::span<const std::uint32_t> voxels, std::span<const double> values, char* data) {
  Real* out = reinterpret_cast<Real*>(data);
  if (like != nullptr) CopyAll(*like, out);
  for (std::size_t i = 0; i < voxels.size(); ++i) out[voxels[i]] = static_cast<Real>(values[i]);
}

}  // namespace

class NiftiWriter {
 public:
  static absl::StatusOr<StagedImage> Stage(const std::string& path, const NiftiHeader& geometry, const NiftiImage* like,
                                           std::span<const std::uint32_t> voxels, std::span<const double> values,
                                           ImageType type, int gzip_level, FileAccess access, NiftiBuffers* buffers) {
    const std::string header = HeaderBytes(geometry, type);
    // Voxels begin at a multiple of their size in both versions.
    const std::size_t size = type == ImageType::kFloat64 ? sizeof(double) : sizeof(float);
    buffers->voxels_.resize(header.size() + geometry.grid().voxels() * size);
    std::memcpy(buffers->voxels_.data(), header.data(), header.size());
    char* const data = buffers->voxels_.data() + header.size();
    if (like == nullptr) std::memset(data, 0, buffers->voxels_.size() - header.size());
    if (type == ImageType::kFloat64) {
      Fill<double>(like, voxels, values, data);
    } else {
      Fill<float>(like, voxels, values, data);
    }
    NiftiBuffers::Compressor& compressor = *buffers->compressor_;
    if (compressor.handle == nullptr || compressor.level != gzip_level) {
      if (compressor.handle != nullptr) libdeflate_free_compressor(compressor.handle);
      compressor.handle = libdeflate_alloc_compressor(gzip_level);
      compressor.level = gzip_level;
      if (compressor.handle == nullptr) return absl::ResourceExhaustedError("there is no memory to compress images");
    }
    buffers->compressed_.resize(libdeflate_gzip_compress_bound(compressor.handle, buffers->voxels_.size()));
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
                                       std::span<const std::uint32_t> voxels, std::span<const double> values, ImageType type,
                                       int gzip_level, FileAccess access, NiftiBuffers* buffers) {
  return NiftiWriter::Stage(path, geometry, like, voxels, values, type, gzip_level, access, buffers);
}

}  // namespace attune

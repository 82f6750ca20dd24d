// SPDX-License-Identifier: Apache-2.0
//
// NIfTI-1 and NIfTI-2 images, plain or gzipped, of one volume. Headers by libnifti2, bytes by libdeflate. Strict: what a header
// says must be what the file holds. https://nifti.nimh.nih.gov
#ifndef ATTUNE_SITE_AGENT_IMAGING_NIFTI_H_
#define ATTUNE_SITE_AGENT_IMAGING_NIFTI_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/files.h"

namespace attune {

// Where voxels lie: their number along x, y and z, and the matrix (row by row) that turns voxel indices into millimetres.
struct ImageGrid {
  std::array<std::int64_t, 3> size{};
  std::array<double, 16> affine{};

  std::size_t voxels() const { return static_cast<std::size_t>(size[0] * size[1] * size[2]); }
};

// In what the grids differ, in words; empty when they are the same: equal sizes, and every corner within a thousandth of a
// voxel.
std::string DescribeGridDifference(const ImageGrid& image, const ImageGrid& expected);

enum class ImageType { kFloat32, kFloat64 };

// What the header of a file says. Plain data.
struct NiftiHeader {
  ImageGrid image_grid;
  int version = 1;              // of NIfTI
  int datatype = 0;             // a DT_ code of nifti1.h
  std::size_t voxel_bytes = 0;  // of one voxel
  bool swapped = false;         // whether the file has the other byte order
  double slope = 1;             // a voxel's value is slope * stored + intercept
  double intercept = 0;
  std::size_t data_offset = 0;    // of the first voxel
  std::array<char, 540> bytes{};  // the header itself (348 bytes in version 1), in this machine's byte order

  const ImageGrid& grid() const { return image_grid; }
};

// A whole file. Used again, it keeps its memory.
struct NiftiImage {
  NiftiHeader header;
  std::string file_sha256;   // of the bytes on disk
  std::vector<char> stored;  // the file after decompression; voxels in this machine's byte order
  std::vector<char> file;    // scratch
};

// Reads no more than the beginning of the file. Fails with NotFound when it cannot be opened, and with InvalidArgument,
// naming the file, what was expected and what to do: no NIfTI of one file, more than one volume, sizes, spacings,
// slopes or matrices that cannot be, a voxel type that is no real number, two matrices that contradict each other, damaged
// compression.
absl::StatusOr<NiftiHeader> ReadNiftiHeader(const std::string& path);

// Reads the whole file. Fails as ReadNiftiHeader does, with InvalidArgument when the grid is not the `expected` one (null:
// any), or when the file has fewer or more bytes than its header says. Takes memory only for what the header and
// `expected` agree on.
absl::Status ReadNifti(const std::string& path, const ImageGrid* expected, NiftiImage* image);

// The values of the voxels with these indices (x fastest), slope and intercept applied.
void Gather(const NiftiImage& image, std::span<const std::uint32_t> voxels, std::span<double> values);

// Memory that a writer uses again. Not thread-safe.
class NiftiBuffers {
 public:
  NiftiBuffers();
  ~NiftiBuffers();

 private:
  friend class NiftiWriter;
  struct Compressor;
  std::unique_ptr<Compressor> compressor_;
  std::vector<char> voxels_;
  std::vector<char> compressed_;
};

// A file that is complete but has not its place yet.
struct StagedImage {
  AtomicFile file;
  std::string sha256;
};

// An image of the geometry of `like`, at `path` (.nii.gz): the values of `voxels` as given, all others as in `like` (null: 0).
// No extension, name or description is taken over. Fails as AtomicFile does.
absl::StatusOr<StagedImage> StageNifti(const std::string& path, const NiftiHeader& geometry, const NiftiImage* like,
                                       std::span<const std::uint32_t> voxels, std::span<const double> values, ImageType type,
                                       int gzip_level, FileAccess access, NiftiBuffers* buffers);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_NIFTI_H_

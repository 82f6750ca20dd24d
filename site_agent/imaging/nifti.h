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

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/files.h"
#include "site_agent/imaging/byte_buffer.h"

namespace attune {

// Where voxels lie: their number along x, y and z, and the matrix (row by row) that turns voxel indices into millimetres.
struct ImageGrid {
  std::array<std::int64_t, 3> size{};
  std::array<double, 16> affine{};

  std::size_t voxels() const { return static_cast<std::size_t>(size[0] * size[1] * size[2]); }
};

// Voxels that follow one another, x running fastest, then y, then z.
struct VoxelRun {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
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
  std::string file_sha256;  // of the bytes on disk
  ByteBuffer stored;        // the file after decompression; voxels in this machine's byte order
  ByteBuffer file;          // scratch
};

// Reads no more than the beginning of the file. Fails with NotFound when it cannot be opened, and with InvalidArgument,
// naming the file, what was expected and what to do: no NIfTI of one file, more than one volume, sizes, spacings,
// slopes or matrices that cannot be, a voxel type that is no real number, two matrices of one code that contradict each other,
// damaged compression, a file of another size than its header says or, compressed, of a size that cannot hold it. What it holds
// beside sizes, type, scale and geometry is not looked at.
absl::StatusOr<NiftiHeader> ReadNiftiHeader(const std::string& path);

// Reads the whole file. Fails as ReadNiftiHeader does, with InvalidArgument when the grid is not the `expected` one (null:
// any), or when the file has fewer or more bytes than its header says, and with ResourceExhausted when there is no memory.
// Takes memory only for what the header, the file's size and `expected` agree on.
absl::Status ReadNifti(const std::string& path, const ImageGrid* expected, NiftiImage* image);

// The values of the runs' voxels, one run after the other, slope and intercept applied; `values` has room for all of them.
// Returns whether all are finite.
bool Gather(const NiftiImage& image, std::span<const VoxelRun> runs, std::span<double> values);

// Memory that a writer uses again. Not thread-safe.
class NiftiBuffers {
 public:
  NiftiBuffers();
  ~NiftiBuffers();

 private:
  friend class NiftiWriter;
  struct Compressor;
  std::unique_ptr<Compressor> compressor_;
  ByteBuffer voxels_;
  ByteBuffer compressed_;
};

// A file that is complete but has not its place yet.
struct StagedImage {
  AtomicFile file;
  std::string sha256;
};

// An image of the geometry of `geometry`, at `path` (.nii.gz): the values of the runs' voxels (in order, none twice) as given,
// all others as in `like` (null: 0), slope and intercept applied; NaN and infinity remain what they are. float32 rounds to the
// nearest. Sizes, spacings and matrices are taken over, and nothing else: no extension, name, description or time. Fails as
// AtomicFile does, with InvalidArgument when a finite value is too large for float32, and with ResourceExhausted when there is
// no memory.
absl::StatusOr<StagedImage> StageNifti(const std::string& path, const NiftiHeader& geometry, const NiftiImage* like,
                                       std::span<const VoxelRun> runs, std::span<const double> values, ImageType type,
                                       int gzip_level, FileAccess access, NiftiBuffers* buffers);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_NIFTI_H_

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <libdeflate.h>
#include <nifti2_io.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "site_agent/imaging/nifti.h"

namespace attune {
namespace {

constexpr std::size_t kHeader1Bytes = 348;
constexpr std::size_t kHeader2Bytes = 540;
constexpr std::size_t kPrefixBytes = std::size_t{64} << 10;  // of a file; holds the header, compressed or not
constexpr double kMostOffset = 16 << 20;                     // extensions are shorter
constexpr std::int64_t kMostVoxels = std::int64_t{1} << 31;
constexpr std::size_t kMostFileBytes = std::size_t{1} << 33;
constexpr double kCornerTolerance = 1e-3;  // voxels

absl::Status Invalid(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what, "; copy or convert the image again"));
}

bool IsGzip(const char* bytes, std::size_t size) {
  return size >= 2 && static_cast<unsigned char>(bytes[0]) == 0x1f && static_cast<unsigned char>(bytes[1]) == 0x8b;
}

// At most `most` bytes of the file, and how long it is.
absl::Status ReadBytes(const std::string& path, std::size_t most, std::vector<char>* bytes, std::size_t* file_size) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const std::string why = std::strerror(errno);
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(absl::StrCat(path, ": there is no such image"));
    return Invalid(path, absl::StrCat("cannot be read: ", why));
  }
  const absl::Cleanup close = [file] { ::close(file); };
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return Invalid(path, "is no file; expected a NIfTI image");
  *file_size = static_cast<std::size_t>(about.st_size);
  if (*file_size == 0) return Damaged(path, "is empty; expected a NIfTI image");
  if (*file_size > kMostFileBytes) return Invalid(path, "is larger than 8 GiB; expected an image of one volume");
  bytes->resize(std::min(most, *file_size));
  std::size_t have = 0;
  while (have < bytes->size()) {
    const ssize_t got = ::read(file, bytes->data() + have, bytes->size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Damaged(path, "cannot be read to its end");
    have += static_cast<std::size_t>(got);
  }
  return absl::OkStatus();
}

// The first bytes of what a gzip file holds; fewer where it holds fewer, or is damaged there.
std::size_t InflatePrefix(const char* bytes, std::size_t size, char* out, std::size_t out_size) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return 0;
  const absl::Cleanup end = [&] { inflateEnd(&stream); };
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes));
  stream.avail_in = static_cast<uInt>(size);
  stream.next_out = reinterpret_cast<Bytef*>(out);
  stream.avail_out = static_cast<uInt>(out_size);
  while (stream.avail_out > 0) {
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END && stream.avail_in > 0 && inflateReset(&stream) == Z_OK) continue;
    if (result != Z_OK) break;
  }
  return out_size - stream.avail_out;
}

std::size_t BytesOf(int datatype) {
  switch (datatype) {
    case DT_UINT8:
    case DT_INT8:
      return 1;
    case DT_INT16:
    case DT_UINT16:
      return 2;
    case DT_INT32:
    case DT_UINT32:
    case DT_FLOAT32:
      return 4;
    case DT_INT64:
    case DT_UINT64:
    case DT_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

template <typename Values>
bool AllFinite(const Values& values) {
  return std::all_of(std::begin(values), std::end(values), [](auto value) { return std::isfinite(value); });
}

// What the two versions of the header have alike.
template <typename Header>
absl::Status CheckHeader(const std::string& path, const Header& raw, std::size_t least_offset, NiftiHeader* header) {
  const std::int64_t axes = raw.dim[0];
  if (axes < 1 || axes > 7) return Damaged(path, absl::StrCat("its header says that it has ", axes, " axes"));
  for (std::int64_t i = 4; i <= axes; ++i) {
    if (raw.dim[i] == 1) continue;
    return Invalid(path, absl::StrCat("has ", raw.dim[i], " volumes along axis ", i,
                                      ", expected one image of three axes; "
                                      "extract the volume that is meant"));
  }
  if (axes < 3) return Invalid(path, absl::StrCat("has ", axes, " axes, expected 3"));
  std::int64_t voxels = 1;
  for (int i = 1; i <= 3; ++i) {
    if (raw.dim[i] < 1 || raw.dim[i] > kMostVoxels / voxels) {
      return Damaged(path, absl::StrCat("its header says that it is ", raw.dim[1], " x ", raw.dim[2], " x ", raw.dim[3],
                                        " voxels, which cannot be"));
    }
    voxels *= raw.dim[i];
    header->image_grid.size[static_cast<std::size_t>(i - 1)] = raw.dim[i];
    if (!std::isfinite(raw.pixdim[i]) || raw.pixdim[i] == 0) {
      return Damaged(path, absl::StrCat("its header says that voxels are ", raw.pixdim[i], " wide along axis ", i));
    }
  }
  header->datatype = raw.datatype;
  header->voxel_bytes = BytesOf(raw.datatype);
  if (header->voxel_bytes == 0) {
    return Invalid(path,
                   absl::StrCat("its voxels are of NIfTI type ", raw.datatype, " (", nifti_datatype_to_string(raw.datatype),
                                "), expected whole or floating-point numbers; convert the image"));
  }
  if (raw.bitpix != 8 * static_cast<std::int64_t>(header->voxel_bytes)) {
    return Damaged(path,
                   absl::StrCat("its header says ", raw.bitpix, " bits a voxel, and a type of ", 8 * header->voxel_bytes));
  }
  if (!std::isfinite(raw.scl_slope) || !std::isfinite(raw.scl_inter)) {
    return Damaged(path, absl::StrCat("its scale (slope ", raw.scl_slope, ", intercept ", raw.scl_inter, ") is not finite"));
  }
  if (raw.scl_slope != 0) {
    header->slope = raw.scl_slope;
    header->intercept = raw.scl_inter;
  }
  const auto offset = static_cast<double>(raw.vox_offset);
  if (!(offset >= static_cast<double>(least_offset)) || offset > kMostOffset || offset != std::floor(offset)) {
    return Damaged(path, absl::StrCat("its header says that voxels begin at byte ", offset, ", expected ", least_offset, " to ",
                                      kMostOffset));
  }
  header->data_offset = static_cast<std::size_t>(offset);
  const bool sform = raw.sform_code > 0;
  const bool qform = raw.qform_code > 0;
  if (sform && !(AllFinite(raw.srow_x) && AllFinite(raw.srow_y) && AllFinite(raw.srow_z))) {
    return Damaged(path, "its matrix (sform) is not finite");
  }
  if (qform && !AllFinite(std::array<double, 6>{raw.quatern_b, raw.quatern_c, raw.quatern_d, raw.qoffset_x, raw.qoffset_y,
                                                raw.qoffset_z})) {
    return Damaged(path, "its rotation (qform) is not finite");
  }
  return absl::OkStatus();
}

std::array<double, 3> MapPoint(const std::array<double, 16>& affine, double x, double y, double z) {
  std::array<double, 3> point{};
  for (std::size_t i = 0; i < 3; ++i) {
    point[i] = affine[4 * i] * x + affine[4 * i + 1] * y + affine[4 * i + 2] * z + affine[4 * i + 3];
  }
  return point;
}

// How far apart the matrices put the corner that they disagree on most, in millimetres.
double LargestCornerDistance(const std::array<double, 16>& a, const std::array<double, 16>& b,
                             const std::array<std::int64_t, 3>& size) {
  double largest = 0;
  for (int corner = 0; corner < 8; ++corner) {
    const auto at = [&](int axis) {
      return (corner >> axis & 1) != 0 ? static_cast<double>(size[static_cast<std::size_t>(axis)] - 1) : 0.0;
    };
    const auto here = MapPoint(a, at(0), at(1), at(2));
    const auto there = MapPoint(b, at(0), at(1), at(2));
    largest = std::max(largest, std::hypot(here[0] - there[0], here[1] - there[1], here[2] - there[2]));
  }
  return largest;
}

double SmallestSpacing(const std::array<double, 16>& affine) {
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t axis = 0; axis < 3; ++axis) {
    smallest = std::min(smallest, std::hypot(affine[axis], affine[4 + axis], affine[8 + axis]));
  }
  return smallest;
}

std::array<double, 16> RowsOf(const nifti_dmat44& matrix) {
  std::array<double, 16> rows{};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) rows[4 * i + j] = matrix.m[i][j];
  }
  return rows;
}

// The matrix by libnifti2: the sform where there is one, else the qform, else the spacings alone.
absl::Status ReadAffine(const std::string& path, nifti_image* image, NiftiHeader* header) {
  if (image == nullptr) return Damaged(path, "its header contradicts itself");
  const std::unique_ptr<nifti_image, void (*)(nifti_image*)> owned(image, nifti_image_free);
  const bool sform = image->sform_code > 0;
  const std::array<double, 16> rotation = RowsOf(image->qto_xyz);
  header->image_grid.affine = sform ? RowsOf(image->sto_xyz) : rotation;
  const std::array<double, 16>& affine = header->image_grid.affine;
  const double determinant = affine[0] * (affine[5] * affine[10] - affine[6] * affine[9]) -
                             affine[1] * (affine[4] * affine[10] - affine[6] * affine[8]) +
                             affine[2] * (affine[4] * affine[9] - affine[5] * affine[8]);
  if (!AllFinite(affine) || !std::isfinite(determinant) || determinant == 0) {
    return Damaged(path, "its matrix puts all voxels into one plane, or nowhere");
  }
  if (sform && image->qform_code > 0) {
    const double off = LargestCornerDistance(affine, rotation, header->image_grid.size);
    if (!(off <= kCornerTolerance * SmallestSpacing(affine))) {
      return Invalid(path, absl::StrCat("its two matrices contradict each other: sform and qform put a corner ", off,
                                        " mm apart; correct one, or set its code to 0"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<NiftiHeader> ParseHeader(const std::string& path, const char* bytes, std::size_t size) {
  if (size < kHeader1Bytes) return Damaged(path, absl::StrCat("ends within its header (", size, " bytes)"));
  static const bool quiet = [] {
    nifti_set_debug_level(0);
    return true;
  }();
  (void)quiet;
  std::int32_t header_size = 0;
  std::memcpy(&header_size, bytes, sizeof(header_size));
  const std::int32_t other = static_cast<std::int32_t>(__builtin_bswap32(static_cast<std::uint32_t>(header_size)));
  NiftiHeader header;
  if (header_size == kHeader1Bytes || other == kHeader1Bytes) {
    nifti_1_header raw;
    std::memcpy(&raw, bytes, sizeof(raw));
    if (std::memcmp(raw.magic, "ni1", 4) == 0) {
      return Invalid(path, "is one of a pair of files (.hdr and .img), expected a single NIfTI file; convert it");
    }
    if (std::memcmp(raw.magic, "n+1", 4) != 0) return Invalid(path, "is no NIfTI image (wrong magic)");
    header.swapped = header_size != kHeader1Bytes;
    if (header.swapped) nifti_swap_as_nifti1(&raw);
    ATTUNE_RETURN_IF_ERROR(CheckHeader(path, raw, kHeader1Bytes + 4, &header));
    std::memcpy(header.bytes.data(), &raw, sizeof(raw));
    ATTUNE_RETURN_IF_ERROR(ReadAffine(path, nifti_convert_n1hdr2nim(raw, "image.nii"), &header));
    return header;
  }
  if (header_size == kHeader2Bytes || other == kHeader2Bytes) {
    if (size < kHeader2Bytes) return Damaged(path, absl::StrCat("ends within its header (", size, " bytes)"));
    nifti_2_header raw;
    std::memcpy(&raw, bytes, sizeof(raw));
    if (std::memcmp(raw.magic, "n+2\0\r\n\032\n", 8) != 0) {
      return Invalid(path, "is no NIfTI-2 image of a single file (wrong magic, or damaged by a transfer as text)");
    }
    header.version = 2;
    header.swapped = header_size != kHeader2Bytes;
    if (header.swapped) nifti_swap_as_nifti2(&raw);
    ATTUNE_RETURN_IF_ERROR(CheckHeader(path, raw, kHeader2Bytes + 4, &header));
    std::memcpy(header.bytes.data(), &raw, sizeof(raw));
    ATTUNE_RETURN_IF_ERROR(ReadAffine(path, nifti_convert_n2hdr2nim(raw, "image.nii"), &header));
    return header;
  }
  return Invalid(path, "is no NIfTI image (expected a header of 348 or 540 bytes)");
}

absl::StatusOr<NiftiHeader> HeaderOf(const std::string& path, const char* bytes, std::size_t size) {
  if (!IsGzip(bytes, size)) return ParseHeader(path, bytes, size);
  std::array<char, kHeader2Bytes> prefix{};
  const std::size_t have = InflatePrefix(bytes, std::min(size, kPrefixBytes), prefix.data(), prefix.size());
  if (have < kHeader1Bytes) return Damaged(path, "its compression is damaged, or it ends within its header");
  return ParseHeader(path, prefix.data(), have);
}

// Every member of the gzip file, one after the other, into exactly `size` bytes.
absl::Status Inflate(const std::string& path, const std::vector<char>& file, std::size_t size, std::vector<char>* out) {
  thread_local const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr) return absl::ResourceExhaustedError("there is no memory to decompress images");
  out->resize(size);
  std::size_t read = 0;
  std::size_t written = 0;
  while (read < file.size()) {
    std::size_t took = 0;
    std::size_t gave = 0;
    const libdeflate_result result = libdeflate_gzip_decompress_ex(decompressor.get(), file.data() + read, file.size() - read,
                                                                   out->data() + written, size - written, &took, &gave);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
      return Damaged(path, absl::StrCat("has more than the ", size, " bytes that its header says"));
    }
    if (result != LIBDEFLATE_SUCCESS) return Damaged(path, "its compression is damaged or cut short");
    read += took;
    written += gave;
  }
  if (written == size) return absl::OkStatus();
  return Damaged(path, absl::StrCat("has ", written, " bytes, and its header says ", size));
}

template <typename Stored>
void GatherAs(const char* data, double slope, double intercept, std::span<const std::uint32_t> voxels,
              std::span<double> values) {
  const auto* stored = reinterpret_cast<const Stored*>(data);
  if (slope == 1 && intercept == 0) {
    for (std::size_t i = 0; i < voxels.size(); ++i) values[i] = static_cast<double>(stored[voxels[i]]);
    return;
  }
  for (std::size_t i = 0; i < voxels.size(); ++i) values[i] = slope * static_cast<double>(stored[voxels[i]]) + intercept;
}

}  // namespace

std::string DescribeGridDifference(const ImageGrid& image, const ImageGrid& expected) {
  if (image.size != expected.size) {
    return absl::StrCat("is ", image.size[0], " x ", image.size[1], " x ", image.size[2], " voxels, the mask is ",
                        expected.size[0], " x ", expected.size[1], " x ", expected.size[2]);
  }
  const double off = LargestCornerDistance(image.affine, expected.affine, image.size);
  if (off <= kCornerTolerance * SmallestSpacing(expected.affine)) return "";
  for (std::size_t i = 0; i < 12; ++i) {
    if (std::abs(image.affine[i] - expected.affine[i]) <= 1e-9 * (1 + std::abs(expected.affine[i]))) continue;
    return absl::StrCat("lies elsewhere than the mask, by up to ", off, " mm: row ", i / 4 + 1, ", column ", i % 4 + 1,
                        " of its matrix is ", image.affine[i], ", of the mask's ", expected.affine[i]);
  }
  return absl::StrCat("lies elsewhere than the mask, by up to ", off, " mm");
}

absl::StatusOr<NiftiHeader> ReadNiftiHeader(const std::string& path) {
  std::vector<char> bytes;
  std::size_t file_size = 0;
  ATTUNE_RETURN_IF_ERROR(ReadBytes(path, kPrefixBytes, &bytes, &file_size));
  return HeaderOf(path, bytes.data(), bytes.size());
}

absl::Status ReadNifti(const std::string& path, const ImageGrid* expected, NiftiImage* image) {
  std::size_t file_size = 0;
  ATTUNE_RETURN_IF_ERROR(ReadBytes(path, kMostFileBytes, &image->file, &file_size));
  ATTUNE_ASSIGN_OR_RETURN(image->header, HeaderOf(path, image->file.data(), image->file.size()));
  const NiftiHeader& header = image->header;
  if (expected != nullptr) {
    const std::string difference = DescribeGridDifference(header.grid(), *expected);
    if (!difference.empty()) return Invalid(path, difference);
  }
  image->file_sha256 = Sha256Hex(absl::string_view(image->file.data(), image->file.size()));
  const std::size_t size = header.data_offset + header.grid().voxels() * header.voxel_bytes;
  if (IsGzip(image->file.data(), image->file.size())) {
    ATTUNE_RETURN_IF_ERROR(Inflate(path, image->file, size, &image->stored));
  } else if (image->file.size() != size) {
    return Damaged(path, absl::StrCat("has ", image->file.size(), " bytes, and its header says ", size));
  } else {
    image->stored = image->file;
  }
  if (header.swapped && header.voxel_bytes > 1) {
    nifti_swap_Nbytes(static_cast<std::int64_t>(header.grid().voxels()), static_cast<int>(header.voxel_bytes),
                      image->stored.data() + header.data_offset);
  }
  return absl::OkStatus();
}

void Gather(const NiftiImage& image, std::span<const std::uint32_t> voxels, std::span<double> values) {
  const NiftiHeader& header = image.header;
  // The standard offset is a multiple of 16; another one may leave the voxels unaligned.
  std::vector<char> aligned;
  const char* data = image.stored.data() + header.data_offset;
  if (reinterpret_cast<std::uintptr_t>(data) % header.voxel_bytes != 0) {
    aligned.assign(data, data + header.grid().voxels() * header.voxel_bytes);
    data = aligned.data();
  }
  const auto gather = [&]<typename Stored>(Stored) { GatherAs<Stored>(data, header.slope, header.intercept, voxels, values); };
  switch (header.datatype) {
    case DT_UINT8:
      return gather(std::uint8_t{});
    case DT_INT8:
      return gather(std::int8_t{});
    case DT_INT16:
      return gather(std::int16_t{});
    case DT_UINT16:
      return gather(std::uint16_t{});
    case DT_INT32:
      return gather(std::int32_t{});
    case DT_UINT32:
      return gather(std::uint32_t{});
    case DT_INT64:
      return gather(std::int64_t{});
    case DT_UINT64:
      return gather(std::uint64_t{});
    case DT_FLOAT32:
      return gather(float{});
    case DT_FLOAT64:
      return gather(double{});
    default:
      return;  // CheckHeader lets no other pass
  }
}

}  // namespace attune

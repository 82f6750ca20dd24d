// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/nifti_header.h"

#include <nifti2_io.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {

absl::Status ImageError(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::Status DamagedImage(const std::string& path, absl::string_view what) {
  return ImageError(path, absl::StrCat(what, "; copy or convert the image again"));
}

namespace {

constexpr double kMostOffset = 16 << 20;  // extensions are shorter
constexpr std::int64_t kMostVoxels = std::int64_t{1} << 31;
constexpr double kCornerTolerance = 1e-3;  // voxels
constexpr double kQuaternionTolerance = 1e-4;
constexpr int kSpatialUnits = 7;  // the bits of xyzt_units that are of x, y and z

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
  if (axes < 1 || axes > 7) return DamagedImage(path, absl::StrCat("its header says that it has ", axes, " axes"));
  for (std::int64_t i = 4; i <= axes; ++i) {
    if (raw.dim[i] == 1) continue;
    return ImageError(path, absl::StrCat("has ", raw.dim[i], " volumes along axis ", i,
                                         ", expected one image of three axes; "
                                         "extract the volume that is meant"));
  }
  if (axes < 3) return ImageError(path, absl::StrCat("has ", axes, " axes, expected 3"));
  std::int64_t voxels = 1;
  for (int i = 1; i <= 3; ++i) {
    if (raw.dim[i] < 1 || raw.dim[i] > kMostVoxels / voxels) {
      return DamagedImage(path, absl::StrCat("its header says that it is ", raw.dim[1], " x ", raw.dim[2], " x ", raw.dim[3],
                                             " voxels, which cannot be"));
    }
    voxels *= raw.dim[i];
    header->image_grid.size[static_cast<std::size_t>(i - 1)] = raw.dim[i];
    if (!std::isfinite(raw.pixdim[i]) || raw.pixdim[i] <= 0) {
      return DamagedImage(path, absl::StrCat("its header says that voxels are ", raw.pixdim[i], " wide along axis ", i));
    }
  }
  header->datatype = raw.datatype;
  header->voxel_bytes = BytesOf(raw.datatype);
  if (header->voxel_bytes == 0) {
    return ImageError(path,
                      absl::StrCat("its voxels are of NIfTI type ", raw.datatype, " (", nifti_datatype_to_string(raw.datatype),
                                   "), expected whole or floating-point numbers; convert the image"));
  }
  if (raw.bitpix != 8 * static_cast<std::int64_t>(header->voxel_bytes)) {
    return DamagedImage(path,
                        absl::StrCat("its header says ", raw.bitpix, " bits a voxel, and a type of ", 8 * header->voxel_bytes));
  }
  if (!std::isfinite(raw.scl_slope) || !std::isfinite(raw.scl_inter)) {
    return DamagedImage(path,
                        absl::StrCat("its scale (slope ", raw.scl_slope, ", intercept ", raw.scl_inter, ") is not finite"));
  }
  if (raw.scl_slope != 0) {
    header->slope = raw.scl_slope;
    header->intercept = raw.scl_inter;
  }
  const auto offset = static_cast<double>(raw.vox_offset);
  if (!(offset >= static_cast<double>(least_offset)) || offset > kMostOffset || offset != std::floor(offset)) {
    return DamagedImage(path, absl::StrCat("its header says that voxels begin at byte ", offset, ", expected ", least_offset,
                                           " to ", kMostOffset));
  }
  header->data_offset = static_cast<std::size_t>(offset);
  if (!std::isfinite(raw.pixdim[0])) return DamagedImage(path, "the sign of its z axis (pixdim[0]) is no number");
  const bool sform = raw.sform_code > 0;
  const bool qform = raw.qform_code > 0;
  if (sform && !(AllFinite(raw.srow_x) && AllFinite(raw.srow_y) && AllFinite(raw.srow_z))) {
    return DamagedImage(path, "its matrix (sform) is not finite");
  }
  if (qform && !AllFinite(std::array<double, 6>{raw.quatern_b, raw.quatern_c, raw.quatern_d, raw.qoffset_x, raw.qoffset_y,
                                                raw.qoffset_z})) {
    return DamagedImage(path, "its rotation (qform) is not finite");
  }
  const double b = raw.quatern_b;
  const double c = raw.quatern_c;
  const double d = raw.quatern_d;
  if (qform && b * b + c * c + d * d > 1 + kQuaternionTolerance) {
    return DamagedImage(path, "its rotation (qform) is no rotation: the quaternion is longer than 1");
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
  if (image == nullptr) return DamagedImage(path, "its header contradicts itself");
  const std::unique_ptr<nifti_image, void (*)(nifti_image*)> owned(image, nifti_image_free);
  const bool sform = image->sform_code > 0;
  const std::array<double, 16> rotation = RowsOf(image->qto_xyz);
  header->image_grid.affine = sform ? RowsOf(image->sto_xyz) : rotation;
  const std::array<double, 16>& affine = header->image_grid.affine;
  const double determinant = affine[0] * (affine[5] * affine[10] - affine[6] * affine[9]) -
                             affine[1] * (affine[4] * affine[10] - affine[6] * affine[8]) +
                             affine[2] * (affine[4] * affine[9] - affine[5] * affine[8]);
  if (!AllFinite(affine) || !std::isfinite(determinant) || determinant == 0) {
    return DamagedImage(path, "its matrix puts all voxels into one plane, or nowhere");
  }
  // Of different codes they may well differ: a scanner's own coordinates beside a template's.
  if (sform && image->qform_code == image->sform_code) {
    const double off = LargestCornerDistance(affine, rotation, header->image_grid.size);
    if (!(off <= kCornerTolerance * SmallestSpacing(affine))) {
      return ImageError(
          path, absl::StrCat("its two matrices contradict each other: sform and qform, both of code ", image->sform_code,
                             ", put a corner ", off, " mm apart; correct one, or set its code to 0"));
    }
  }
  return absl::OkStatus();
}

// The same of both versions.
template <typename Header>
void FillGeometry(const Header& from, ImageType type, Header* to) {
  to->sizeof_hdr = sizeof(Header);
  to->dim[0] = 3;
  for (int i = 1; i < 8; ++i) to->dim[i] = 1;
  for (int i = 1; i <= 3; ++i) {
    to->dim[i] = from.dim[i];
    to->pixdim[i] = from.pixdim[i];
  }
  to->datatype = type == ImageType::kFloat64 ? DT_FLOAT64 : DT_FLOAT32;
  to->bitpix = type == ImageType::kFloat64 ? 64 : 32;
  // Voxels begin at a multiple of their size in both versions.
  to->vox_offset = static_cast<decltype(to->vox_offset)>(sizeof(Header) + 4);
  to->scl_slope = 1;
  to->xyzt_units = static_cast<decltype(to->xyzt_units)>(from.xyzt_units & kSpatialUnits);
  to->pixdim[0] = 1;
  if (from.qform_code > 0) {
    to->pixdim[0] = from.pixdim[0] < 0 ? -1 : 1;  // on which side of the plane z points
    to->qform_code = from.qform_code;
    to->quatern_b = from.quatern_b;
    to->quatern_c = from.quatern_c;
    to->quatern_d = from.quatern_d;
    to->qoffset_x = from.qoffset_x;
    to->qoffset_y = from.qoffset_y;
    to->qoffset_z = from.qoffset_z;
  }
  if (from.sform_code > 0) {
    to->sform_code = from.sform_code;
    std::copy(std::begin(from.srow_x), std::end(from.srow_x), to->srow_x);
    std::copy(std::begin(from.srow_y), std::end(from.srow_y), to->srow_y);
    std::copy(std::begin(from.srow_z), std::end(from.srow_z), to->srow_z);
  }
}

template <typename Header>
std::string GeometryBytes(const NiftiHeader& geometry, const char* magic, ImageType type) {
  Header from;
  std::memcpy(&from, geometry.bytes.data(), sizeof(from));
  Header to{};
  FillGeometry(from, type, &to);
  std::memcpy(to.magic, magic, sizeof(to.magic));
  return std::string(reinterpret_cast<const char*>(&to), sizeof(to)).append(4, '\0');
}

absl::Status PairError(const std::string& path) {
  return ImageError(path, "is one of a pair of files (.hdr and .img), expected a single NIfTI file; convert it");
}

constexpr char kMagic1[] = "n+1";
constexpr char kMagic2[] = "n+2\0\r\n\032\n";

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

absl::StatusOr<NiftiHeader> ParseNiftiHeader(const std::string& path, absl::string_view bytes) {
  if (bytes.size() < kNifti1HeaderBytes)
    return DamagedImage(path, absl::StrCat("ends within its header (", bytes.size(), " bytes)"));
  static const bool quiet = [] {
    nifti_set_debug_level(0);
    return true;
  }();
  (void)quiet;
  std::int32_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const std::int32_t other = static_cast<std::int32_t>(__builtin_bswap32(static_cast<std::uint32_t>(header_size)));
  NiftiHeader header;
  if (header_size == kNifti1HeaderBytes || other == kNifti1HeaderBytes) {
    nifti_1_header raw;
    std::memcpy(&raw, bytes.data(), sizeof(raw));
    if (std::memcmp(raw.magic, "ni1", 4) == 0) return PairError(path);
    if (std::memcmp(raw.magic, kMagic1, 4) != 0) return ImageError(path, "is no NIfTI image (wrong magic)");
    header.swapped = header_size != kNifti1HeaderBytes;
    if (header.swapped) nifti_swap_as_nifti1(&raw);
    ATTUNE_RETURN_IF_ERROR(CheckHeader(path, raw, kNifti1HeaderBytes + 4, &header));
    std::memcpy(header.bytes.data(), &raw, sizeof(raw));
    ATTUNE_RETURN_IF_ERROR(ReadAffine(path, nifti_convert_n1hdr2nim(raw, "image.nii"), &header));
    return header;
  }
  if (header_size == kNifti2HeaderBytes || other == kNifti2HeaderBytes) {
    if (bytes.size() < kNifti2HeaderBytes)
      return DamagedImage(path, absl::StrCat("ends within its header (", bytes.size(), " bytes)"));
    nifti_2_header raw;
    std::memcpy(&raw, bytes.data(), sizeof(raw));
    if (std::memcmp(raw.magic, "ni2", 4) == 0) return PairError(path);
    if (std::memcmp(raw.magic, kMagic2, 8) != 0) {
      return ImageError(path, "is no NIfTI-2 image of a single file (wrong magic, or damaged by a transfer as text)");
    }
    header.version = 2;
    header.swapped = header_size != kNifti2HeaderBytes;
    if (header.swapped) nifti_swap_as_nifti2(&raw);
    ATTUNE_RETURN_IF_ERROR(CheckHeader(path, raw, kNifti2HeaderBytes + 4, &header));
    std::memcpy(header.bytes.data(), &raw, sizeof(raw));
    ATTUNE_RETURN_IF_ERROR(ReadAffine(path, nifti_convert_n2hdr2nim(raw, "image.nii"), &header));
    return header;
  }
  return ImageError(path, "is no NIfTI image (expected a header of 348 or 540 bytes)");
}

std::string GeometryHeader(const NiftiHeader& geometry, ImageType type) {
  return geometry.version == 2 ? GeometryBytes<nifti_2_header>(geometry, kMagic2, type)
                               : GeometryBytes<nifti_1_header>(geometry, kMagic1, type);
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/voxel_values.h"

#include <nifti1.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace attune {
namespace {

// No branch in the loop, so that the compiler takes several voxels at once. Voxels may lie at any address.
template <typename Stored, typename Real, typename Scale>
bool Convert(const char* data, std::size_t count, Scale scale, Real* __restrict values) {
  using Bits = std::conditional_t<sizeof(Real) == sizeof(std::uint64_t), std::uint64_t, std::uint32_t>;
  Bits odd = 0;  // x - x is +0 for every finite x, and NaN for all others
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, data + i * sizeof(Stored), sizeof(Stored));
    const Real value = static_cast<Real>(scale(static_cast<double>(stored)));
    values[i] = value;
    odd |= std::bit_cast<Bits>(value - value);
  }
  return odd == 0;
}

template <typename Stored, typename Real>
bool ConvertRun(const NiftiImage& image, VoxelRun run, Real* values) {
  const double slope = image.header.slope;
  const double intercept = image.header.intercept;
  const char* const data = image.stored.data() + image.header.data_offset + run.first * sizeof(Stored);
  if (slope == 1 && intercept == 0) {
    return Convert<Stored>(
        data, run.count, [](double stored) { return stored; }, values);
  }
  return Convert<Stored>(
      data, run.count, [=](double stored) { return slope * stored + intercept; }, values);
}

}  // namespace

template <typename Real>
bool ConvertVoxels(const NiftiImage& image, VoxelRun run, Real* values) {
  switch (image.header.datatype) {
    case DT_UINT8:
      return ConvertRun<std::uint8_t>(image, run, values);
    case DT_INT8:
      return ConvertRun<std::int8_t>(image, run, values);
    case DT_INT16:
      return ConvertRun<std::int16_t>(image, run, values);
    case DT_UINT16:
      return ConvertRun<std::uint16_t>(image, run, values);
    case DT_INT32:
      return ConvertRun<std::int32_t>(image, run, values);
    case DT_UINT32:
      return ConvertRun<std::uint32_t>(image, run, values);
    case DT_INT64:
      return ConvertRun<std::int64_t>(image, run, values);
    case DT_UINT64:
      return ConvertRun<std::uint64_t>(image, run, values);
    case DT_FLOAT32:
      return ConvertRun<float>(image, run, values);
    case DT_FLOAT64:
      return ConvertRun<double>(image, run, values);
    default:
      return false;  // the reader lets no other pass
  }
}

template bool ConvertVoxels<float>(const NiftiImage& image, VoxelRun run, float* values);
template bool ConvertVoxels<double>(const NiftiImage& image, VoxelRun run, double* values);

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// An image, after a byte of options: whether it is compressed here first (so that what is changed is the image and not its
// compression), and the type that it is written in again.
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

std::string Compressed(absl::string_view bytes) {
  z_stream stream = {};
  Require(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib begins");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  Require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib ends");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::vector<double> ValuesOf(const NiftiImage& image) {
  std::vector<double> values(image.header.grid().voxels());
  const VoxelRun all = {0, static_cast<std::uint32_t>(values.size())};
  const bool finite = Gather(image, {&all, 1}, values);
  Require(finite == std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }),
          "what is said to be finite is, and nothing else");
  return values;
}

}  // namespace

ATTUNE_FUZZ_TARGET(nifti)(absl::string_view bytes) {
  static const testing::TempFolder folder;
  Input input(bytes);
  const std::uint8_t options = input.Byte();
  const std::string whole = (options & 1) != 0 ? Compressed(input.Rest()) : std::string(input.Rest());
  const std::string path = folder.Write("image.nii", whole);

  const auto header = ReadNiftiHeader(path);
  RequirePrintable(header.status());
  NiftiImage image;
  const absl::Status read = ReadNifti(path, nullptr, &image);
  RequirePrintable(read);
  Require(header.ok() || read == header.status(), "what the beginning tells, the whole tells too");
  // No more than one byte of a compressed file can stand for.
  Require(image.stored.size() <= 1100 * (whole.size() + 1), "no memory for what is not there");
  const auto mask = Mask::Open(path);
  RequirePrintable(mask.status());
  Require(read.ok() || !mask.ok(), "no mask that is no image");
  if (!read.ok()) return;

  const std::vector<double> values = ValuesOf(image);
  NiftiImage again;
  Require(ReadNifti(path, &image.header.grid(), &again).ok(), "an image lies where it lies");
  ImageGrid other = image.header.grid();
  ++other.size[2];
  Require(!ReadNifti(path, &other, &again).ok(), "an image of another size is refused");

  // Written and read again, it is the same image.
  const ImageType type = (options & 2) != 0 ? ImageType::kFloat64 : ImageType::kFloat32;
  std::vector<double> expected = values;
  std::vector<double> changed;
  const std::span<const VoxelRun> runs = mask.ok() ? mask->runs() : std::span<const VoxelRun>();
  for (const VoxelRun& run : runs) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
      double& value = expected[run.first + i];
      value = std::isfinite(value) ? -value : value;
      changed.push_back(value);
    }
  }
  NiftiBuffers buffers;
  const std::string out = folder / "out.nii.gz";
  auto staged = StageNifti(out, image.header, &image, runs, changed, type, 1, FileAccess::kOwnerOnly, &buffers);
  RequirePrintable(staged.status());
  if (!staged.ok()) {
    const bool too_large = std::any_of(values.begin(), values.end(), [](double value) {
      return std::isfinite(value) && std::abs(value) > static_cast<double>(std::numeric_limits<float>::max());
    });
    Require(type == ImageType::kFloat32 && too_large, "what can be read can be written, if it fits");
    return;
  }
  Require(std::move(staged->file).Commit().ok(), "a whole file gets its place");
  Require(ReadNifti(out, &image.header.grid(), &again).ok(), "what was written lies where the input lies");
  const std::vector<double> got = ValuesOf(again);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double want = type == ImageType::kFloat64 ? expected[i] : static_cast<double>(static_cast<float>(expected[i]));
    Require(got[i] == want || (std::isnan(got[i]) && std::isnan(want)), "every voxel is what it should be");
  }
}

}  // namespace attune::fuzz

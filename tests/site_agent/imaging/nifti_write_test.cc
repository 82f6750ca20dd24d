// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/site_agent/imaging/nifti_files.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class NiftiWrite : public NiftiFiles {
 protected:
  // Writes and reads again.
  absl::Status Stage(const NiftiImage& like, const std::vector<VoxelRun>& runs, const std::vector<double>& values,
                     ImageType type, NiftiImage* out) {
    const std::string path = temp_ / "out.nii.gz";
    auto staged = StageNifti(path, like.header, &like, runs, values, type, 1, FileAccess::kShared, &buffers_);
    if (!staged.ok()) return staged.status();
    const std::string sha256 = staged->sha256;
    EXPECT_OK(std::move(staged->file).Commit());
    const absl::Status read = ReadNifti(path, &like.header.grid(), out);
    EXPECT_EQ(out->file_sha256, sha256);
    return read;
  }
  NiftiBuffers buffers_;
};

TEST_F(NiftiWrite, Stage_KeepsGeometryAndWhatIsOutsideTheMask) {
  for (const int version : {1, 2}) {
    NiftiBytes bytes(version, version == 2);
    bytes.Type(2, 8);
    bytes.Slope(0.25, 1);
    AppendValues<std::uint8_t>(&bytes);
    NiftiImage in;
    ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
    const std::vector<VoxelRun> runs = {{2, 1}, {7, 3}, {23, 1}};
    const std::vector<double> values = {1.0 / 3, -1e-9, 2, 3, 1e30};
    std::vector<double> expected = ValuesOf(in);
    expected[2] = values[0];
    for (std::size_t i = 0; i < 3; ++i) expected[7 + i] = values[1 + i];
    expected[23] = values[4];
    for (const ImageType type : {ImageType::kFloat32, ImageType::kFloat64}) {
      std::string sha256[2];
      NiftiImage out;
      for (std::string& digest : sha256) {
        ASSERT_OK(Stage(in, runs, values, type, &out));
        digest = out.file_sha256;
      }
      EXPECT_EQ(sha256[0], sha256[1]);
      EXPECT_EQ(out.header.version, version);
      EXPECT_EQ(out.header.grid().affine, in.header.grid().affine);
      const std::vector<double> got = ValuesOf(out);
      for (std::size_t i = 0; i < kVoxels; ++i) {
        EXPECT_EQ(got[i], type == ImageType::kFloat64 ? expected[i] : static_cast<double>(static_cast<float>(expected[i])));
      }
    }
  }
}

TEST_F(NiftiWrite, Stage_WithoutAnImageAllOthersAreZero) {
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", Float32().bytes()), nullptr, &in));
  NiftiImage out;
  ASSERT_OK(Stage(in, {}, {}, ImageType::kFloat32, &out));  // leaves its traces in the buffers
  const std::vector<VoxelRun> runs = {{1, 1}};
  const std::vector<double> values = {5};
  auto staged = StageNifti(temp_ / "map.nii.gz", in.header, nullptr, runs, values, ImageType::kFloat32, 1, FileAccess::kShared,
                           &buffers_);
  ASSERT_OK(staged);
  ASSERT_OK(std::move(staged->file).Commit());
  ASSERT_OK(ReadNifti(temp_ / "map.nii.gz", nullptr, &out));
  std::vector<double> expected(kVoxels, 0);
  expected[1] = 5;
  EXPECT_EQ(ValuesOf(out), expected);
}

// Every byte of the header that is not geometry is set to something; of all that, nothing may be found again.
TEST_F(NiftiWrite, Stage_TakesOverGeometryAndNothingElse) {
  struct Field {
    std::size_t at;
    std::size_t size;
  };
  // dim[0..3], pixdim[0..3], both codes, both matrices; then (apart) type, bits, offset, slope, units, magic.
  const std::vector<Field> geometry1 = {{40, 8}, {76, 16}, {252, 76}};
  const std::vector<Field> own1 = {{0, 4}, {48, 8}, {70, 4}, {108, 12}, {123, 1}, {344, 8}};
  const std::vector<Field> geometry2 = {{16, 32}, {104, 32}, {344, 152}};
  const std::vector<Field> own2 = {{0, 16}, {48, 32}, {168, 24}, {500, 4}, {540, 4}};
  for (const int version : {1, 2}) {
    NiftiBytes bytes(version, false);
    AppendValues<float>(&bytes);
    const auto& geometry = version == 1 ? geometry1 : geometry2;
    const auto& own = version == 1 ? own1 : own2;
    const std::size_t size = version == 1 ? 352 : 544;
    std::vector<int> kind(size, 0);
    for (const Field& field : geometry) std::fill_n(kind.begin() + static_cast<std::ptrdiff_t>(field.at), field.size, 1);
    for (const Field& field : own) std::fill_n(kind.begin() + static_cast<std::ptrdiff_t>(field.at), field.size, 2);
    for (std::size_t i = 0; i < size; ++i) {
      if (kind[i] == 0) bytes.bytes()[i] = 'E';
    }
    // A rotation by 180 degrees about z, and the same as a matrix; units: mm and seconds.
    if (version == 1) {
      bytes.Put<float>(76, -1);
      bytes.Put<std::int16_t>(252, 3);
      bytes.Put<float>(264, 1);
      bytes.Put<float>(280, -2);
      bytes.Put<float>(300, -2);
      bytes.Put<float>(320, -2);
      bytes.Put<char>(123, 2 | 8);
    } else {
      bytes.Put<double>(104, -1);
      bytes.Put<std::int32_t>(344, 3);
      bytes.Put<double>(368, 1);
      bytes.Put<double>(400, -2);
      bytes.Put<double>(440, -2);
      bytes.Put<double>(480, -2);
      bytes.Put<std::int32_t>(500, 2 | 8);
    }
    NiftiImage in;
    ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
    NiftiImage out;
    ASSERT_OK(Stage(in, {}, {}, ImageType::kFloat64, &out));
    const std::string got(out.stored.view().substr(0, size));
    for (std::size_t i = 0; i < size; ++i) {
      if (kind[i] == 0) {
        EXPECT_EQ(got[i], 0) << "version " << version << ", byte " << i;
      } else if (kind[i] == 1) {
        EXPECT_EQ(got[i], bytes.bytes()[i]) << "version " << version << ", byte " << i;
      }
    }
    EXPECT_EQ(got[version == 1 ? 123 : 500], 2);
    EXPECT_EQ(out.header.version, version);
  }
}

// A matrix that does not count is not taken over, nor is a side (pixdim[0]) that is none.
TEST_F(NiftiWrite, Stage_LeavesOutWhatDoesNotCount) {
  NiftiBytes bytes = Float32();
  bytes.Put<float>(76, 0);
  bytes.Put<float>(268, 99);  // qoffset, with code 0
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
  NiftiImage out;
  ASSERT_OK(Stage(in, {}, {}, ImageType::kFloat32, &out));
  float side = 0;
  float offset = 1;
  std::memcpy(&side, out.stored.data() + 76, sizeof(side));
  std::memcpy(&offset, out.stored.data() + 268, sizeof(offset));
  EXPECT_EQ(side, 1);
  EXPECT_EQ(offset, 0);
}

TEST_F(NiftiWrite, Stage_NotANumberOutsideTheMaskStays) {
  NiftiBytes bytes(2, false);
  bytes.Type(64, 64);
  for (std::size_t i = 0; i < kVoxels; ++i) {
    bytes.Append(i == 0 ? std::nan("") : i == 1 ? HUGE_VAL : i == 2 ? -HUGE_VAL : i == 3 ? 1e-300 : static_cast<double>(i) / 3);
  }
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
  for (const ImageType type : {ImageType::kFloat32, ImageType::kFloat64}) {
    NiftiImage out;
    ASSERT_OK(Stage(in, {{10, 1}}, {std::nan("")}, type, &out));
    const std::vector<double> got = ValuesOf(out);
    EXPECT_TRUE(std::isnan(got[0]));
    EXPECT_EQ(got[1], HUGE_VAL);
    EXPECT_EQ(got[2], -HUGE_VAL);
    EXPECT_EQ(got[3], type == ImageType::kFloat64 ? 1e-300 : 0);
    EXPECT_TRUE(std::isnan(got[10]));
    EXPECT_EQ(got[11], type == ImageType::kFloat64 ? 11.0 / 3 : static_cast<double>(11.0F / 3));
  }
}

TEST_F(NiftiWrite, Stage_TooLargeForFloat32) {
  NiftiBytes bytes(2, false);
  bytes.Type(64, 64);
  for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(i == 5 ? -1e39 : std::nan(""));
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
  NiftiImage out;
  const auto too_large = StatusIs(kInvalid, AllOf(HasSubstr("out.nii.gz"), HasSubstr("float64")));
  EXPECT_THAT(Stage(in, {}, {}, ImageType::kFloat32, &out), too_large);
  EXPECT_FALSE(FileExists(temp_ / "out.nii.gz"));
  EXPECT_THAT(Stage(in, {{5, 2}}, {0, 4e38}, ImageType::kFloat32, &out), too_large);
  // What is replaced does not count.
  EXPECT_OK(Stage(in, {{5, 2}}, {0, 3e38}, ImageType::kFloat32, &out));
  ASSERT_OK(Stage(in, {}, {}, ImageType::kFloat64, &out));
  EXPECT_EQ(ValuesOf(out)[5], -1e39);
}

// Whole numbers of 64 bits are rounded to what float32 has next to them.
TEST_F(NiftiWrite, Stage_LargeWholeNumbersAreRounded) {
  NiftiBytes bytes(1, false);
  bytes.Type(1280, 64);
  for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(std::numeric_limits<std::uint64_t>::max() - (i << 40));
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
  NiftiImage out;
  ASSERT_OK(Stage(in, {}, {}, ImageType::kFloat32, &out));
  const std::vector<double> stored = ValuesOf(in);
  const std::vector<double> got = ValuesOf(out);
  for (std::size_t i = 0; i < kVoxels; ++i) EXPECT_EQ(got[i], static_cast<double>(static_cast<float>(stored[i])));
}

TEST_F(NiftiWrite, Stage_AnotherLevelIsTheSameImage) {
  NiftiImage in;
  ASSERT_OK(ReadNifti(Write("in.nii", Float32().bytes()), nullptr, &in));
  for (const int level : {1, 9, 1}) {
    const std::string path = absl::StrCat(temp_.path(), "/level", level, ".nii.gz");
    auto staged = StageNifti(path, in.header, &in, {}, {}, ImageType::kFloat32, level, FileAccess::kShared, &buffers_);
    ASSERT_OK(staged);
    ASSERT_OK(std::move(staged->file).Commit());
    NiftiImage out;
    ASSERT_OK(ReadNifti(path, &in.header.grid(), &out));
    EXPECT_EQ(ValuesOf(out), ValuesOf(in));
  }
}

}  // namespace
}  // namespace attune::testing

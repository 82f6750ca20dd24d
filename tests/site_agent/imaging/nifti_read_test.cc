// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "site_agent/imaging/mask.h"
#include "tests/site_agent/imaging/nifti_files.h"
#include "tests/support/data.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(NiftiFiles, Read_EveryTypeOrderAndVersion) {
  struct Type {
    std::int16_t code;
    std::int16_t bits;
    void (*append)(NiftiBytes*);
  };
  const Type types[] = {{2, 8, AppendValues<std::uint8_t>},     {256, 8, AppendValues<std::int8_t>},
                        {4, 16, AppendValues<std::int16_t>},    {512, 16, AppendValues<std::uint16_t>},
                        {8, 32, AppendValues<std::int32_t>},    {768, 32, AppendValues<std::uint32_t>},
                        {1024, 64, AppendValues<std::int64_t>}, {1280, 64, AppendValues<std::uint64_t>},
                        {16, 32, AppendValues<float>},          {64, 64, AppendValues<double>}};
  for (const Type& type : types) {
    for (const int version : {1, 2}) {
      for (const bool swapped : {false, true}) {
        NiftiBytes bytes(version, swapped);
        bytes.Type(type.code, type.bits);
        bytes.Slope(0.5, -3);
        type.append(&bytes);
        for (const std::string& path : {Write("a.nii", bytes.bytes()), WriteGzip("a.nii.gz", {bytes.bytes()})}) {
          SCOPED_TRACE(absl::StrCat("type ", type.code, ", version ", version, ", swapped ", swapped));
          NiftiImage image;
          ASSERT_OK(ReadNifti(path, nullptr, &image));
          EXPECT_EQ(image.header.grid().size, (std::array<std::int64_t, 3>{3, 4, 2}));
          EXPECT_EQ(image.header.grid().affine[5], 2);
          const std::vector<double> values = ValuesOf(image);
          for (std::size_t i = 0; i < kVoxels; ++i) ASSERT_EQ(values[i], 0.5 * static_cast<double>(i * 5) - 3);
        }
      }
    }
  }
}

TEST_F(NiftiFiles, Read_ExtremesOfEveryWholeType) {
  const auto check = [&](std::int16_t code, auto zero) {
    using Stored = decltype(zero);
    NiftiBytes bytes(2, true);
    bytes.Type(code, static_cast<std::int16_t>(8 * sizeof(Stored)));
    std::vector<double> expected;
    for (std::size_t i = 0; i < kVoxels; ++i) {
      const Stored value = i % 3 == 0   ? std::numeric_limits<Stored>::min()
                           : i % 3 == 1 ? std::numeric_limits<Stored>::max()
                                        : static_cast<Stored>(i);
      bytes.Append(value);
      expected.push_back(static_cast<double>(value));
    }
    NiftiImage image;
    ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
    EXPECT_EQ(ValuesOf(image), expected) << code;
  };
  check(2, std::uint8_t{});
  check(256, std::int8_t{});
  check(4, std::int16_t{});
  check(512, std::uint16_t{});
  check(8, std::int32_t{});
  check(768, std::uint32_t{});
  check(1024, std::int64_t{});
  check(1280, std::uint64_t{});
}

// An offset that is no multiple of a voxel's size, behind an extension.
TEST_F(NiftiFiles, Read_SkipsExtensions) {
  for (const int version : {1, 2}) {
    NiftiBytes bytes(version, false);
    const std::size_t begin = bytes.bytes().size();
    bytes.Put<char>(begin - 4, 1);  // there is one
    bytes.bytes().append(33, 'x');
    if (version == 1) {
      bytes.Put<float>(108, static_cast<float>(begin + 33));
    } else {
      bytes.Put<std::int64_t>(168, static_cast<std::int64_t>(begin + 33));
    }
    bytes.Type(64, 64);
    for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(static_cast<double>(i) / 3);
    NiftiImage image;
    ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
    const std::vector<double> values = ValuesOf(image);
    for (std::size_t i = 0; i < kVoxels; ++i) EXPECT_EQ(values[i], static_cast<double>(i) / 3);
  }
}

TEST_F(NiftiFiles, Read_OneVolumeOfManyAxes) {
  NiftiBytes bytes = Float32();
  bytes.Put<std::int16_t>(40, 5);
  EXPECT_OK(Read(Write("a.nii", bytes.bytes())));
  bytes.Put<std::int16_t>(50, 2);
  EXPECT_THAT(Read(Write("a.nii", bytes.bytes())), StatusIs(kInvalid, HasSubstr("2 volumes along axis 5")));
}

TEST_F(NiftiFiles, Gather_RunsInOrderAndWhetherFinite) {
  NiftiBytes bytes = Float32();
  bytes.Put<float>(352 + 4 * 9, std::numeric_limits<float>::quiet_NaN());
  bytes.Put<float>(352 + 4 * 20, -std::numeric_limits<float>::infinity());
  NiftiImage image;
  ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
  const auto gather = [&](const std::vector<VoxelRun>& runs, std::vector<double>* values) {
    return Gather(image, runs, *values);
  };
  std::vector<double> values(7);
  EXPECT_TRUE(gather({{0, 2}, {5, 4}, {23, 1}}, &values));
  EXPECT_EQ(values, (std::vector<double>{0, 0.25, 1.25, 1.5, 1.75, 2, 5.75}));
  EXPECT_FALSE(gather({{0, 2}, {8, 2}, {22, 2}}, &values));
  EXPECT_TRUE(std::isnan(values[3]));
  EXPECT_FALSE(gather({{19, 2}, {0, 2}}, &values));
  EXPECT_EQ(values[1], -std::numeric_limits<double>::infinity());
}

// Finite as stored, and yet not with the scale.
TEST_F(NiftiFiles, Gather_ScaleThatOverflows) {
  NiftiBytes bytes(2, false);
  bytes.Type(4, 16);
  bytes.Slope(1e306, 0);
  for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(static_cast<std::int16_t>(i * 100));
  NiftiImage image;
  ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
  std::vector<double> values(kVoxels);
  const VoxelRun some = {0, 2};
  EXPECT_TRUE(Gather(image, {&some, 1}, values));
  const VoxelRun all = {0, kVoxels};
  EXPECT_FALSE(Gather(image, {&all, 1}, values));
}

// A buffer that held a larger image, or a damaged one.
TEST_F(NiftiFiles, Read_IntoWhatWasUsedBefore) {
  NiftiBytes large(1, false);
  large.Size({20, 20, 20});
  for (std::size_t i = 0; i < 8000; ++i) large.Append(7.0F);
  const std::string small = WriteGzip("small.nii.gz", {Float32().bytes()});
  NiftiImage fresh;
  ASSERT_OK(ReadNifti(small, nullptr, &fresh));
  NiftiImage used;
  ASSERT_OK(ReadNifti(Write("large.nii", large.bytes()), nullptr, &used));
  EXPECT_FALSE(ReadNifti(Write("cut.nii.gz", ReadFile(small)->substr(0, 60)), nullptr, &used).ok());
  ASSERT_OK(ReadNifti(small, nullptr, &used));
  EXPECT_EQ(used.file_sha256, fresh.file_sha256);
  EXPECT_EQ(ValuesOf(used), ValuesOf(fresh));
}

TEST_F(NiftiFiles, Read_TwoMatricesOfTwoSpaces) {
  // A scanner's coordinates in the qform, a template's in the sform, as preprocessing leaves them: the sform counts.
  NiftiBytes bytes = Float32();
  bytes.Put<std::int16_t>(252, 1);
  bytes.Put<std::int16_t>(254, 4);
  bytes.Put<float>(268, 30);
  NiftiImage image;
  ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
  EXPECT_EQ(image.header.grid().affine[0], 2);
  EXPECT_EQ(image.header.grid().affine[3], 0);
}

TEST_F(NiftiFiles, Read_SlopeZeroIsNoScale) {
  NiftiBytes bytes = Float32();
  bytes.Slope(0, 7);
  NiftiImage image;
  ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
  EXPECT_EQ(ValuesOf(image)[4], 1);
}

TEST_F(NiftiFiles, Read_SeveralGzipMembers) {
  const std::string bytes = Float32().bytes();
  EXPECT_OK(Read(WriteGzip("a.nii.gz", {bytes.substr(0, 400), bytes.substr(400)})));
  EXPECT_OK(Read(WriteGzip("b.nii.gz", {bytes.substr(0, 100), bytes.substr(100)})));
}

TEST_F(NiftiFiles, Read_AnotherGrid) {
  NiftiImage image;
  const std::string path = Write("a.nii", Float32().bytes());
  ASSERT_OK(ReadNifti(path, nullptr, &image));
  ImageGrid other = image.header.grid();
  other.size[1] = 5;
  EXPECT_THAT(ReadNifti(path, &other, &image),
              StatusIs(kInvalid, AllOf(HasSubstr("a.nii"), HasSubstr("3 x 4 x 2"), HasSubstr("3 x 5 x 2"))));
  other = image.header.grid();
  other.affine[3] = 0.5;
  EXPECT_THAT(ReadNifti(path, &other, &image), StatusIs(kInvalid, AllOf(HasSubstr("0.5 mm"), HasSubstr("row 1, column 4"))));
  other.affine[3] = 1e-4;
  EXPECT_OK(ReadNifti(path, &other, &image));
}

TEST(NiftiData, Vbm) {
  const auto data = testing::SharedFolder("data/vbm");
  if (!data) GTEST_SKIP() << "no ../shared/data/vbm beside the project";
  const auto mask = Mask::Open(*data + "/mask.nii.gz");
  ASSERT_OK(mask);
  EXPECT_EQ(mask->voxels(), 597827U);
  NiftiImage image;
  ASSERT_OK(ReadNifti(*data + "/sub-vbm001_desc-gm_T1w.nii.gz", &mask->grid(), &image));
  EXPECT_NEAR(image.header.slope, 1 / 255.0, 1e-9);
}

}  // namespace
}  // namespace attune::testing

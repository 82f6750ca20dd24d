// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/site_agent/imaging/nifti_files.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(NiftiFiles, Read_Bad) {
  struct Case {
    const char* name;
    absl::StatusCode code;
    const char* says;
    std::function<void(NiftiBytes*)> spoil;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Case cases[] = {
      {"wrong magic", kInvalid, "magic", [](NiftiBytes* b) { b->bytes()[344] = 'x'; }},
      {"a pair", kInvalid, ".hdr and .img", [](NiftiBytes* b) { std::memcpy(b->bytes().data() + 344, "ni1", 4); }},
      {"no header", kInvalid, "no NIfTI", [](NiftiBytes* b) { b->Put<std::int32_t>(0, 12345); }},
      {"short header", kInvalid, "within its header", [](NiftiBytes* b) { b->bytes().resize(100); }},
      {"NaN spacing", kInvalid, "wide along axis 2", [](NiftiBytes* b) { b->Put<float>(84, kNan); }},
      {"spacing 0", kInvalid, "0 wide along axis 1", [](NiftiBytes* b) { b->Put<float>(80, 0); }},
      {"negative spacing", kInvalid, "-2 wide along axis 3", [](NiftiBytes* b) { b->Put<float>(88, -2); }},
      {"infinite spacing", kInvalid, "inf wide", [](NiftiBytes* b) { b->Put<float>(80, INFINITY); }},
      {"NaN side", kInvalid, "pixdim[0]", [](NiftiBytes* b) { b->Put<float>(76, kNan); }},
      {"NaN rotation", kInvalid, "rotation",
       [](NiftiBytes* b) {
         b->Put<std::int16_t>(252, 1);
         b->Put<float>(260, kNan);
       }},
      {"infinite place", kInvalid, "rotation",
       [](NiftiBytes* b) {
         b->Put<std::int16_t>(252, 1);
         b->Put<float>(272, -INFINITY);
       }},
      {"no rotation", kInvalid, "no rotation",
       [](NiftiBytes* b) {
         b->Put<std::int16_t>(252, 1);
         b->Put<float>(256, 0.9F);
         b->Put<float>(260, 0.9F);
       }},
      {"NaN intercept", kInvalid, "intercept", [](NiftiBytes* b) { b->Slope(2, kNan); }},
      {"one byte too many", kInvalid, "header says", [](NiftiBytes* b) { b->bytes() += 'x'; }},
      {"one byte too few", kInvalid, "header says", [](NiftiBytes* b) { b->bytes().pop_back(); }},
      {"NaN matrix", kInvalid, "sform", [](NiftiBytes* b) { b->Put<float>(284, kNan); }},
      {"flat matrix", kInvalid, "one plane", [](NiftiBytes* b) { b->Put<float>(280, 0); }},
      {"NaN slope", kInvalid, "slope", [](NiftiBytes* b) { b->Slope(kNan, 0); }},
      {"4-D", kInvalid, "5 volumes",
       [](NiftiBytes* b) {
         b->Put<std::int16_t>(40, 4);
         b->Put<std::int16_t>(48, 5);
       }},
      {"2-D", kInvalid, "2 axes", [](NiftiBytes* b) { b->Put<std::int16_t>(40, 2); }},
      {"9 axes", kInvalid, "9 axes", [](NiftiBytes* b) { b->Put<std::int16_t>(40, 9); }},
      {"no voxels", kInvalid, "cannot be", [](NiftiBytes* b) { b->Put<std::int16_t>(42, 0); }},
      {"negative size", kInvalid, "cannot be", [](NiftiBytes* b) { b->Put<std::int16_t>(42, -3); }},
      {"larger than it is", kInvalid, "header says", [](NiftiBytes* b) { b->Put<std::int16_t>(46, 20); }},
      {"smaller than it is", kInvalid, "header says", [](NiftiBytes* b) { b->Put<std::int16_t>(46, 1); }},
      {"colour", kInvalid, "RGB24", [](NiftiBytes* b) { b->Type(128, 24); }},
      {"bits", kInvalid, "bits", [](NiftiBytes* b) { b->Type(16, 64); }},
      {"offset in header", kInvalid, "begin at byte", [](NiftiBytes* b) { b->Put<float>(108, 100); }},
      {"offset NaN", kInvalid, "begin at byte", [](NiftiBytes* b) { b->Put<float>(108, kNan); }},
      {"offset beyond", kInvalid, "begin at byte", [](NiftiBytes* b) { b->Put<float>(108, 1e9F); }},
      {"two matrices", kInvalid, "contradict",
       [](NiftiBytes* b) {
         b->Put<std::int16_t>(252, 1);
         b->Put<float>(268, 30);
       }},
      {"empty", kInvalid, "empty", [](NiftiBytes* b) { b->bytes().clear(); }},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    NiftiBytes bytes = Float32();
    bad.spoil(&bytes);
    EXPECT_THAT(Read(Write("bad.nii", bytes.bytes())), StatusIs(bad.code, AllOf(HasSubstr("bad.nii"), HasSubstr(bad.says))));
    if (bytes.bytes().empty()) continue;
    const absl::Status zipped = Read(WriteGzip("bad.nii.gz", {bytes.bytes()}));
    EXPECT_FALSE(zipped.ok());
    EXPECT_THAT(std::string(zipped.message()), HasSubstr("bad.nii.gz"));
  }
}

TEST_F(NiftiFiles, Read_BadFiles) {
  const std::string whole = ReadFile(WriteGzip("a.nii.gz", {Float32().bytes()})).value();
  EXPECT_THAT(Read(Write("cut.nii.gz", whole.substr(0, whole.size() - 12))), StatusIs(kInvalid, HasSubstr("cut.nii.gz")));
  EXPECT_THAT(Read(Write("cut.nii.gz", whole.substr(0, 20))), StatusIs(kInvalid, HasSubstr("compression")));
  std::string flipped = whole;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  EXPECT_THAT(Read(Write("flipped.nii.gz", flipped)), StatusIs(kInvalid, HasSubstr("damaged")));
  EXPECT_THAT(Read(temp_.path()), StatusIs(kInvalid, HasSubstr("is no file")));
  EXPECT_THAT(Read(temp_.path() + "/absent.nii"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent.nii")));
}

TEST_F(NiftiFiles, Read_BadSecondVersion) {
  struct Case {
    const char* says;
    std::function<void(NiftiBytes*)> spoil;
  };
  const Case cases[] = {
      {".hdr and .img", [](NiftiBytes* b) { std::memcpy(b->bytes().data() + 4, "ni2", 4); }},
      {"damaged by a transfer as text", [](NiftiBytes* b) { b->bytes()[8] = '\n'; }},
      {"within its header", [](NiftiBytes* b) { b->bytes().resize(500); }},
      {"cannot be",
       [](NiftiBytes* b) {
         b->Size({std::int64_t{1} << 62, std::int64_t{1} << 62, 4});
       }},
      {"begin at byte", [](NiftiBytes* b) { b->Put<std::int64_t>(168, -1); }},
      {"not finite", [](NiftiBytes* b) { b->Slope(INFINITY, 0); }},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.says);
    NiftiBytes bytes(2, false);
    for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(0.0F);
    bad.spoil(&bytes);
    EXPECT_THAT(Read(Write("bad.nii", bytes.bytes())), StatusIs(kInvalid, AllOf(HasSubstr("bad.nii"), HasSubstr(bad.says))));
  }
}

TEST_F(NiftiFiles, Read_GarbageAfterTheData) {
  const std::string whole = ReadFile(WriteGzip("a.nii.gz", {Float32().bytes()})).value();
  for (const std::string& garbage : {std::string(1, '\0'), std::string("garbage"), std::string(400, '\x1f')}) {
    EXPECT_THAT(Read(Write("a.nii.gz", whole + garbage)), StatusIs(kInvalid, HasSubstr("a.nii.gz")));
  }
  EXPECT_THAT(Read(WriteGzip("a.nii.gz", {Float32().bytes(), "x"})), StatusIs(kInvalid, HasSubstr("more than")));
}

// 2^31 voxels of 8 bytes are asked for, by a few hundred bytes.
TEST_F(NiftiFiles, Read_LyingSizesTakeNoMemory) {
  for (const int version : {1, 2}) {
    NiftiBytes bytes(version, false);
    bytes.Type(64, 64);
    bytes.Size({1024, 1024, 2048});
    for (const std::string& path : {Write("a.nii", bytes.bytes()), WriteGzip("a.nii.gz", {bytes.bytes()})}) {
      NiftiImage image;
      EXPECT_THAT(ReadNifti(path, nullptr, &image), StatusIs(kInvalid, AllOf(HasSubstr(path), HasSubstr("header says"))));
      EXPECT_EQ(image.stored.size() + image.file.size(), 0U);
      EXPECT_FALSE(ReadNiftiHeader(path).ok());
    }
  }
  // And a large file of which the header says that it is small.
  NiftiImage image;
  const std::string path = Write(
      "large.nii.gz", ReadFile(WriteGzip("a.nii.gz", {Float32().bytes()})).value() + std::string(std::size_t{1} << 20, 'x'));
  EXPECT_THAT(ReadNifti(path, nullptr, &image), StatusIs(kInvalid, HasSubstr("cannot hold")));
  EXPECT_EQ(image.file.size(), 0U);
}

// Opening one must not wait for who writes into it.
TEST_F(NiftiFiles, Read_Pipe) {
  const std::string path = temp_ / "pipe.nii";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(Read(path), StatusIs(kInvalid, HasSubstr("is no file")));
}

}  // namespace
}  // namespace attune::testing

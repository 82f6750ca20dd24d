// SPDX-License-Identifier: Apache-2.0
//
// Files are written here byte by byte, so that the reader is not tested by the writer alone.
#include "site_agent/imaging/nifti.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "site_agent/imaging/mask.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kBadImage = absl::StatusCode::kInvalidArgument;
constexpr auto kDamaged = absl::StatusCode::kInvalidArgument;  // exit code 3, as for all data of a site

constexpr std::int64_t kSize[3] = {3, 4, 2};
constexpr std::size_t kVoxels = 24;

// A file under construction, in this or the other byte order.
class Bytes {
 public:
  Bytes(int version, bool swapped) : version_(version), swapped_(swapped), bytes_(version == 1 ? 352 : 544, '\0') {
    if (version == 1) {
      Put<std::int32_t>(0, 348);
      for (int i = 0; i < 8; ++i) Put<std::int16_t>(40 + 2 * i, static_cast<std::int16_t>(i == 0 ? 3 : Dim(i)));
      for (int i = 0; i < 4; ++i) Put<float>(76 + 4 * i, i == 0 ? 1.0F : 2.0F);
      Put<float>(108, 352);
      Put<std::int16_t>(254, 1);
      for (int i = 0; i < 3; ++i) Put<float>(280 + 20 * i, 2.0F);
      std::memcpy(bytes_.data() + 344, "n+1", 4);
    } else {
      Put<std::int32_t>(0, 540);
      std::memcpy(bytes_.data() + 4, "n+2\0\r\n\032\n", 8);
      for (int i = 0; i < 8; ++i) Put<std::int64_t>(16 + 8 * i, i == 0 ? 3 : Dim(i));
      for (int i = 0; i < 4; ++i) Put<double>(104 + 8 * i, i == 0 ? 1.0 : 2.0);
      Put<std::int64_t>(168, 544);
      Put<std::int32_t>(348, 1);
      for (int i = 0; i < 3; ++i) Put<double>(400 + 40 * i, 2.0);
    }
    Type(16, 32);
    Slope(1, 0);
  }

  void Type(std::int16_t type, std::int16_t bits) {
    Put<std::int16_t>(version_ == 1 ? 70 : 12, type);
    Put<std::int16_t>(version_ == 1 ? 72 : 14, bits);
  }
  void Slope(double slope, double intercept) {
    if (version_ == 1) {
      Put<float>(112, static_cast<float>(slope));
      Put<float>(116, static_cast<float>(intercept));
    } else {
      Put<double>(176, slope);
      Put<double>(184, intercept);
    }
  }
  template <typename Value>
  void Put(std::size_t at, Value value) {
    char raw[sizeof(Value)];
    std::memcpy(raw, &value, sizeof(value));
    if (swapped_) std::reverse(raw, raw + sizeof(raw));
    std::memcpy(bytes_.data() + at, raw, sizeof(raw));
  }
  template <typename Value>
  void Append(Value value) {
    bytes_.append(sizeof(Value), '\0');
    Put(bytes_.size() - sizeof(Value), value);
  }
  std::string& bytes() { return bytes_; }

 private:
  static std::int64_t Dim(int i) { return i <= 3 ? kSize[i - 1] : 1; }
  int version_;
  bool swapped_;
  std::string bytes_;
};

Bytes Float32() {
  Bytes bytes(1, false);
  for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(static_cast<float>(i) / 4);
  return bytes;
}

class Nifti : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = temp_.path() + "/" + name;
    EXPECT_OK(WriteFileAtomically(path, bytes, FileAccess::kShared));
    return path;
  }
  std::string WriteGzip(const std::string& name, const std::vector<std::string>& members) {
    std::string all;
    for (const std::string& member : members) {
      const std::string path = temp_.path() + "/member";
      gzFile file = gzopen(path.c_str(), "wb");
      EXPECT_EQ(gzwrite(file, member.data(), static_cast<unsigned>(member.size())), static_cast<int>(member.size()));
      gzclose(file);
      all += ReadFile(path).value();
    }
    return Write(name, all);
  }
  static std::vector<double> ValuesOf(const NiftiImage& image) {
    std::vector<std::uint32_t> all(image.header.grid().voxels());
    std::iota(all.begin(), all.end(), 0U);
    std::vector<double> values(all.size());
    Gather(image, all, values);
    return values;
  }
  absl::Status Read(const std::string& path) {
    const absl::Status header = ReadNiftiHeader(path).status();
    NiftiImage image;
    const absl::Status whole = ReadNifti(path, nullptr, &image);
    // What the beginning tells, the whole must tell too.
    if (!header.ok()) {
      EXPECT_EQ(whole, header);
    }
    return whole;
  }
  testing::TempFolder temp_;
};

template <typename Stored>
void AppendValues(Bytes* bytes) {
  for (std::size_t i = 0; i < kVoxels; ++i) bytes->Append(static_cast<Stored>(i * 5));
}

TEST_F(Nifti, Read_EveryTypeOrderAndVersion) {
  struct Type {
    std::int16_t code;
    std::int16_t bits;
    void (*append)(Bytes*);
  };
  const Type types[] = {{2, 8, AppendValues<std::uint8_t>},     {256, 8, AppendValues<std::int8_t>},
                        {4, 16, AppendValues<std::int16_t>},    {512, 16, AppendValues<std::uint16_t>},
                        {8, 32, AppendValues<std::int32_t>},    {768, 32, AppendValues<std::uint32_t>},
                        {1024, 64, AppendValues<std::int64_t>}, {1280, 64, AppendValues<std::uint64_t>},
                        {16, 32, AppendValues<float>},          {64, 64, AppendValues<double>}};
  for (const Type& type : types) {
    for (const int version : {1, 2}) {
      for (const bool swapped : {false, true}) {
        Bytes bytes(version, swapped);
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

TEST_F(Nifti, Read_SlopeZeroIsNoScale) {
  Bytes bytes = Float32();
  bytes.Slope(0, 7);
  NiftiImage image;
  ASSERT_OK(ReadNifti(Write("a.nii", bytes.bytes()), nullptr, &image));
  EXPECT_EQ(ValuesOf(image)[4], 1);
}

TEST_F(Nifti, Read_SeveralGzipMembers) {
  const std::string bytes = Float32().bytes();
  EXPECT_OK(Read(WriteGzip("a.nii.gz", {bytes.substr(0, 400), bytes.substr(400)})));
  EXPECT_OK(Read(WriteGzip("b.nii.gz", {bytes.substr(0, 100), bytes.substr(100)})));
}

TEST_F(Nifti, Read_Bad) {
  struct Case {
    const char* name;
    absl::StatusCode code;
    const char* says;
    std::function<void(Bytes*)> spoil;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Case cases[] = {
      {"wrong magic", kBadImage, "magic", [](Bytes* b) { b->bytes()[344] = 'x'; }},
      {"a pair", kBadImage, ".hdr and .img", [](Bytes* b) { std::memcpy(b->bytes().data() + 344, "ni1", 4); }},
      {"no header", kBadImage, "no NIfTI", [](Bytes* b) { b->Put<std::int32_t>(0, 12345); }},
      {"short header", kDamaged, "within its header", [](Bytes* b) { b->bytes().resize(100); }},
      {"NaN spacing", kDamaged, "wide along axis 2", [](Bytes* b) { b->Put<float>(84, kNan); }},
      {"spacing 0", kDamaged, "0 wide along axis 1", [](Bytes* b) { b->Put<float>(80, 0); }},
      {"NaN matrix", kDamaged, "sform", [](Bytes* b) { b->Put<float>(284, kNan); }},
      {"flat matrix", kDamaged, "one plane", [](Bytes* b) { b->Put<float>(280, 0); }},
      {"NaN slope", kDamaged, "slope", [](Bytes* b) { b->Slope(kNan, 0); }},
      {"4-D", kBadImage, "5 volumes",
       [](Bytes* b) {
         b->Put<std::int16_t>(40, 4);
         b->Put<std::int16_t>(48, 5);
       }},
      {"2-D", kBadImage, "2 axes", [](Bytes* b) { b->Put<std::int16_t>(40, 2); }},
      {"9 axes", kDamaged, "9 axes", [](Bytes* b) { b->Put<std::int16_t>(40, 9); }},
      {"no voxels", kDamaged, "cannot be", [](Bytes* b) { b->Put<std::int16_t>(42, 0); }},
      {"negative size", kDamaged, "cannot be", [](Bytes* b) { b->Put<std::int16_t>(42, -3); }},
      {"larger than it is", kDamaged, "header says", [](Bytes* b) { b->Put<std::int16_t>(46, 20); }},
      {"smaller than it is", kDamaged, "header says", [](Bytes* b) { b->Put<std::int16_t>(46, 1); }},
      {"colour", kBadImage, "RGB24", [](Bytes* b) { b->Type(128, 24); }},
      {"bits", kDamaged, "bits", [](Bytes* b) { b->Type(16, 64); }},
      {"offset in header", kDamaged, "begin at byte", [](Bytes* b) { b->Put<float>(108, 100); }},
      {"offset NaN", kDamaged, "begin at byte", [](Bytes* b) { b->Put<float>(108, kNan); }},
      {"offset beyond", kDamaged, "begin at byte", [](Bytes* b) { b->Put<float>(108, 1e9F); }},
      {"two matrices", kBadImage, "contradict",
       [](Bytes* b) {
         b->Put<std::int16_t>(252, 1);
         b->Put<float>(268, 30);
       }},
      {"empty", kDamaged, "empty", [](Bytes* b) { b->bytes().clear(); }},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    Bytes bytes = Float32();
    bad.spoil(&bytes);
    EXPECT_THAT(Read(Write("bad.nii", bytes.bytes())), StatusIs(bad.code, AllOf(HasSubstr("bad.nii"), HasSubstr(bad.says))));
    if (bytes.bytes().empty()) continue;
    const absl::Status zipped = Read(WriteGzip("bad.nii.gz", {bytes.bytes()}));
    EXPECT_FALSE(zipped.ok());
    EXPECT_THAT(std::string(zipped.message()), HasSubstr("bad.nii.gz"));
  }
}

TEST_F(Nifti, Read_BadFiles) {
  const std::string whole = ReadFile(WriteGzip("a.nii.gz", {Float32().bytes()})).value();
  EXPECT_THAT(Read(Write("cut.nii.gz", whole.substr(0, whole.size() - 12))), StatusIs(kDamaged, HasSubstr("cut.nii.gz")));
  EXPECT_THAT(Read(Write("cut.nii.gz", whole.substr(0, 20))), StatusIs(kDamaged, HasSubstr("compression")));
  std::string flipped = whole;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  EXPECT_THAT(Read(Write("flipped.nii.gz", flipped)), StatusIs(kDamaged, HasSubstr("damaged")));
  EXPECT_THAT(Read(temp_.path()), StatusIs(kBadImage, HasSubstr("is no file")));
  EXPECT_THAT(Read(temp_.path() + "/absent.nii"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent.nii")));
}

TEST_F(Nifti, Read_AnotherGrid) {
  NiftiImage image;
  const std::string path = Write("a.nii", Float32().bytes());
  ASSERT_OK(ReadNifti(path, nullptr, &image));
  ImageGrid other = image.header.grid();
  other.size[1] = 5;
  EXPECT_THAT(ReadNifti(path, &other, &image),
              StatusIs(kBadImage, AllOf(HasSubstr("a.nii"), HasSubstr("3 x 4 x 2"), HasSubstr("3 x 5 x 2"))));
  other = image.header.grid();
  other.affine[3] = 0.5;
  EXPECT_THAT(ReadNifti(path, &other, &image), StatusIs(kBadImage, AllOf(HasSubstr("0.5 mm"), HasSubstr("row 1, column 4"))));
  other.affine[3] = 1e-4;
  EXPECT_OK(ReadNifti(path, &other, &image));
}

TEST_F(Nifti, Stage_KeepsGeometryAndWhatIsOutsideTheMask) {
  for (const int version : {1, 2}) {
    Bytes bytes(version, false);
    bytes.Type(2, 8);
    bytes.Slope(0.25, 1);
    AppendValues<std::uint8_t>(&bytes);
    std::memcpy(bytes.bytes().data() + (version == 1 ? 148 : 240), "Erika Mustermann", 16);
    NiftiImage in;
    ASSERT_OK(ReadNifti(Write("in.nii", bytes.bytes()), nullptr, &in));
    const std::vector<std::uint32_t> voxels = {2, 7};
    const std::vector<double> values = {1.0 / 3, -1e-9};
    for (const ImageType type : {ImageType::kFloat32, ImageType::kFloat64}) {
      const std::string path = temp_.path() + "/out.nii.gz";
      NiftiBuffers buffers;
      std::string sha256[2];
      for (std::string& digest : sha256) {
        auto staged = StageNifti(path, in.header, &in, voxels, values, type, 1, FileAccess::kShared, &buffers);
        ASSERT_OK(staged);
        digest = staged->sha256;
        ASSERT_OK(std::move(staged->file).Commit());
      }
      EXPECT_EQ(sha256[0], sha256[1]);
      NiftiImage out;
      ASSERT_OK(ReadNifti(path, &in.header.grid(), &out));
      EXPECT_EQ(out.file_sha256, sha256[0]);
      EXPECT_EQ(out.header.version, version);
      EXPECT_EQ(std::string(out.stored.begin(), out.stored.end()).find("Erika"), std::string::npos);
      std::vector<double> expected = ValuesOf(in);
      for (std::size_t i = 0; i < voxels.size(); ++i) expected[voxels[i]] = values[i];
      const std::vector<double> got = ValuesOf(out);
      for (std::size_t i = 0; i < kVoxels; ++i) {
        EXPECT_EQ(got[i], type == ImageType::kFloat64 ? expected[i] : static_cast<double>(static_cast<float>(expected[i])));
      }
    }
  }
}

TEST_F(Nifti, Mask_IndicesAndErrors) {
  Bytes bytes = Float32();
  const auto mask = Mask::Open(Write("mask.nii", bytes.bytes()));
  ASSERT_OK(mask);
  EXPECT_EQ(mask->voxels(), kVoxels - 1);  // the first is 0
  EXPECT_EQ(mask->indices()[0], 1U);
  bytes.Put<float>(352, std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(Mask::Open(Write("mask.nii", bytes.bytes())).status(), StatusIs(kBadImage, HasSubstr("NaN")));
  Bytes zeros(1, false);
  for (std::size_t i = 0; i < kVoxels; ++i) zeros.Append(0.0F);
  EXPECT_THAT(Mask::Open(Write("mask.nii", zeros.bytes())).status(), StatusIs(kBadImage, HasSubstr("0 everywhere")));
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
}  // namespace attune

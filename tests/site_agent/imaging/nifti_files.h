// SPDX-License-Identifier: Apache-2.0
//
// NIfTI files written byte by byte, so that the reader is not tested by the writer alone.
#ifndef ATTUNE_TESTS_SITE_AGENT_IMAGING_NIFTI_FILES_H_
#define ATTUNE_TESTS_SITE_AGENT_IMAGING_NIFTI_FILES_H_

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/files.h"
#include "site_agent/imaging/nifti.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

inline constexpr std::int64_t kSize[3] = {3, 4, 2};
inline constexpr std::size_t kVoxels = 24;
inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;  // exit code 3, as for all data of a site

// A file under construction, in this or the other byte order.
class NiftiBytes {
 public:
  NiftiBytes(int version, bool swapped) : version_(version), swapped_(swapped), bytes_(version == 1 ? 352 : 544, '\0') {
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
  void Size(const std::array<std::int64_t, 3>& size) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (version_ == 1) {
        Put<std::int16_t>(42 + 2 * i, static_cast<std::int16_t>(size[i]));
      } else {
        Put<std::int64_t>(24 + 8 * i, size[i]);
      }
    }
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

inline NiftiBytes Float32() {
  NiftiBytes bytes(1, false);
  for (std::size_t i = 0; i < kVoxels; ++i) bytes.Append(static_cast<float>(i) / 4);
  return bytes;
}

template <typename Stored>
void AppendValues(NiftiBytes* bytes) {
  for (std::size_t i = 0; i < kVoxels; ++i) bytes->Append(static_cast<Stored>(i * 5));
}

class NiftiFiles : public ::testing::Test {
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
    std::vector<double> values(image.header.grid().voxels());
    const VoxelRun all = {0, static_cast<std::uint32_t>(values.size())};
    Gather(image, {&all, 1}, values);
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
  TempFolder temp_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SITE_AGENT_IMAGING_NIFTI_FILES_H_

// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing an image against bare libdeflate on the same bytes, in the same run, each as its best of all rounds (CPU
// time of the thread; files are in the page cache). The images are those of ../shared/data/vbm, or one made up like them.
#include <benchmark/benchmark.h>
#include <libdeflate.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "tests/support/data.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

constexpr int kGzipLevel = 1;  // as harmonized images have

double Now() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

// The best of several times of one thing, in milliseconds.
class Best {
 public:
  template <typename Do>
  void Time(const Do& act) {
    const double begin = Now();
    act();
    ms_ = std::min(ms_, Now() - begin);
  }
  double ms() const { return ms_; }

 private:
  double ms_ = std::numeric_limits<double>::infinity();
};

// A benchmark that cannot go on has no result.
template <typename Result>
auto OrDie(Result result) {
  if (!result.ok()) {
    std::cerr << result.status() << "\n";
    std::exit(1);
  }
  return *std::move(result);
}
void OrDie(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

class Inputs {
 public:
  static const Inputs& Get() {
    static const Inputs& inputs = *new Inputs;
    return inputs;
  }
  const Mask& mask() const { return *mask_; }
  const std::string& image() const { return image_; }
  const std::string& image_bytes() const { return bytes_; }

 private:
  Inputs() {
    if (const auto data = testing::SharedFolder("data/vbm")) {
      mask_ = std::make_unique<Mask>(OrDie(Mask::Open(*data + "/mask.nii.gz")));
      image_ = *data + "/sub-vbm001_desc-gm_T1w.nii.gz";
    } else {
      MakeUp();
    }
    bytes_ = OrDie(ReadFile(image_));
  }

  // 121 x 145 x 121 voxels of 8 bits with a scale, and a mask of an ellipsoid.
  void MakeUp() {
    constexpr std::int16_t kSize[] = {121, 145, 121};
    const auto write = [&](const char* name, bool is_mask) {
      std::string bytes(352, '\0');
      const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof(value)); };
      put(0, std::int32_t{348});
      put(40, std::int16_t{3});
      put(70, std::int16_t{2});
      put(72, std::int16_t{8});
      put(76, 1.0F);
      put(108, 352.0F);
      put(112, is_mask ? 1.0F : 1 / 255.0F);
      put(254, std::int16_t{2});
      for (std::size_t i = 0; i < 3; ++i) {
        put(42 + 2 * i, kSize[i]);
        put(80 + 4 * i, 1.5F);
        put(280 + 20 * i, 1.5F);
      }
      std::memcpy(bytes.data() + 344, "n+1", 4);
      std::uint32_t noise = 1;
      for (int z = 0; z < kSize[2]; ++z) {
        for (int y = 0; y < kSize[1]; ++y) {
          for (int x = 0; x < kSize[0]; ++x) {
            noise = noise * 1664525 + 1013904223;
            const double radius = std::hypot((x - 60) / 52.0, (y - 72) / 66.0, (z - 60) / 50.0);
            const bool inside = radius < (is_mask ? 0.95 : 1.0);
            const double value = 120 + 80 * std::cos(x / 7.0) * std::cos(y / 9.0) + static_cast<double>(noise >> 29);
            bytes.push_back(inside ? static_cast<char>(is_mask ? 1 : static_cast<int>(value)) : '\0');
          }
        }
      }
      const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(libdeflate_alloc_compressor(6),
                                                                                                libdeflate_free_compressor);
      std::string out(libdeflate_gzip_compress_bound(compressor.get(), bytes.size()), '\0');
      out.resize(libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size()));
      return folder_.Write(name, out);
    };
    mask_ = std::make_unique<Mask>(OrDie(Mask::Open(write("mask.nii.gz", true))));
    image_ = write("image.nii.gz", false);
  }

  testing::TempFolder folder_;
  std::unique_ptr<Mask> mask_;
  std::string image_;
  std::string bytes_;
};

void Report(benchmark::State& state, const Best& whole, const Best& bare, const Best& digest) {
  state.counters["ms_per_image"] = whole.ms();
  state.counters["ms_libdeflate"] = bare.ms();
  state.counters["ms_sha256"] = digest.ms();
  state.counters["times_libdeflate"] = whole.ms() / bare.ms();
  state.counters["times_libdeflate_and_sha256"] = whole.ms() / (bare.ms() + digest.ms());
}

// From a file to the values of the mask's voxels.
void BM_NiftiRead(benchmark::State& state) {
  const Inputs& inputs = Inputs::Get();
  NiftiImage image;
  std::vector<double> values(inputs.mask().voxels());
  OrDie(ReadNifti(inputs.image(), nullptr, &image));
  std::vector<char> inflated(image.stored.size());
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  Best whole;
  Best bare;
  Best digest;
  for (auto _ : state) {
    whole.Time([&] {
      OrDie(ReadNifti(inputs.image(), &inputs.mask().grid(), &image));
      benchmark::DoNotOptimize(Gather(image, inputs.mask().runs(), values));
    });
    bare.Time([&] {
      benchmark::DoNotOptimize(libdeflate_gzip_decompress(decompressor.get(), inputs.image_bytes().data(),
                                                          inputs.image_bytes().size(), inflated.data(), inflated.size(),
                                                          nullptr));
    });
    digest.Time([&] { benchmark::DoNotOptimize(Sha256Hex(inputs.image_bytes())); });
  }
  Report(state, whole, bare, digest);
}
BENCHMARK(BM_NiftiRead)->Unit(benchmark::kMillisecond)->MinTime(2);

// From values to a whole file, which has not its place yet: what the disk does to make it durable is not counted.
void BM_NiftiWrite(benchmark::State& state) {
  const Inputs& inputs = Inputs::Get();
  const auto type = state.range(0) == 64 ? ImageType::kFloat64 : ImageType::kFloat32;
  NiftiImage image;
  OrDie(ReadNifti(inputs.image(), &inputs.mask().grid(), &image));
  std::vector<double> values(inputs.mask().voxels());
  Gather(image, inputs.mask().runs(), values);
  for (std::size_t v = 0; v < values.size(); ++v) values[v] = 1.02 * values[v] - 1e-3 * std::sin(static_cast<double>(v));
  const testing::TempFolder folder;
  const std::string path = folder / "out.nii.gz";
  NiftiBuffers buffers;
  const auto stage = [&] {
    return OrDie(
        StageNifti(path, image.header, &image, inputs.mask().runs(), values, type, kGzipLevel, FileAccess::kShared, &buffers));
  };
  OrDie(stage().file.Commit());
  const std::string compressed = OrDie(ReadFile(path));
  NiftiImage written;
  OrDie(ReadNifti(path, nullptr, &written));
  std::vector<char> out(written.stored.size() + 4096);
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(
      libdeflate_alloc_compressor(kGzipLevel), libdeflate_free_compressor);
  Best whole;
  Best bare;
  Best digest;
  for (auto _ : state) {
    whole.Time([&] { benchmark::DoNotOptimize(stage().sha256); });
    bare.Time([&] {
      benchmark::DoNotOptimize(
          libdeflate_gzip_compress(compressor.get(), written.stored.data(), written.stored.size(), out.data(), out.size()));
    });
    digest.Time([&] { benchmark::DoNotOptimize(Sha256Hex(compressed)); });
  }
  Report(state, whole, bare, digest);
}
BENCHMARK(BM_NiftiWrite)->Arg(32)->Arg(64)->Unit(benchmark::kMillisecond)->MinTime(3);

}  // namespace
}  // namespace attune

BENCHMARK_MAIN();

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/synthetic_images.h"

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/tables/tsv_writer.h"

namespace attune {
namespace {

constexpr std::array<int, 3> kSize = {26, 30, 24};
constexpr float kSpacing = 6;  // mm
constexpr int kPeoplePerSite = 16;
constexpr float kVoxelNoise = 0.05F;

struct Site {
  const char* name;
  double shift;
  double scale;
};
constexpr Site kSites[] = {{"aarhus", -0.08, 0.7}, {"bonn", 0.00, 1.0}, {"coimbra", 0.10, 1.5}};

constexpr char kImageStudy[] = R"(study: demo-images
features: {images: {mask: mask.nii}}
covariates:
  - {name: age, type: continuous, unit: years}
method:
  combat: {prior: parametric}
release: per_batch
min_batch_size: 10
)";

// The 348 bytes of a NIfTI-1 header of one float32 volume, and the four bytes that say that nothing follows it.
std::string Header() {
  std::string header(352, '\0');
  const auto put = [&](std::size_t at, auto value) { std::memcpy(header.data() + at, &value, sizeof(value)); };
  put(0, std::int32_t{348});
  put(40, std::int16_t{3});
  for (std::size_t i = 0; i < 3; ++i) put(42 + 2 * i, static_cast<std::int16_t>(kSize[i]));
  for (std::size_t i = 3; i < 7; ++i) put(42 + 2 * i, std::int16_t{1});
  put(70, std::int16_t{16});  // float32
  put(72, std::int16_t{32});
  put(76, 1.0F);
  for (std::size_t i = 1; i <= 3; ++i) put(76 + 4 * i, kSpacing);
  put(108, 352.0F);
  put(112, 1.0F);
  header[123] = 2;  // millimetres
  put(254, std::int16_t{2});
  for (std::size_t i = 0; i < 3; ++i) {
    put(280 + 16 * i + 4 * i, kSpacing);
    put(280 + 16 * i + 12, -kSpacing * static_cast<float>(kSize[i]) / 2);
  }
  std::memcpy(header.data() + 344, "n+1", 4);
  return header;
}

absl::Status WriteImage(const std::string& path, const std::vector<float>& voxels) {
  std::string bytes = Header();
  bytes.append(reinterpret_cast<const char*>(voxels.data()), voxels.size() * sizeof(float));
  return WriteFileAtomically(path, bytes, FileAccess::kShared);
}

// Calls visit(index, x, y, z) for each voxel, x running fastest; coordinates from -1 to 1.
template <typename Visit>
void ForEachVoxel(const Visit& visit) {
  const auto place = [](int i, int size) { return 2 * (i + 0.5) / size - 1; };
  std::size_t index = 0;
  for (int z = 0; z < kSize[2]; ++z) {
    for (int y = 0; y < kSize[1]; ++y) {
      for (int x = 0; x < kSize[0]; ++x) visit(index++, place(x, kSize[0]), place(y, kSize[1]), place(z, kSize[2]));
    }
  }
}

}  // namespace

absl::Status WriteSyntheticImages(std::uint64_t seed, const std::string& folder) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder + "/images", FileAccess::kShared));
  std::vector<float> mask(static_cast<std::size_t>(kSize[0]) * kSize[1] * kSize[2]);
  ForEachVoxel([&](std::size_t i, double x, double y, double z) { mask[i] = x * x + y * y + z * z < 0.8 ? 1 : 0; });
  ATTUNE_RETURN_IF_ERROR(WriteImage(folder + "/mask.nii", mask));

  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter people, TsvWriter::Create(folder + "/participants.tsv", FileAccess::kShared));
  people.WriteRow({"participant_id", "site", "age", "image"});
  int number = 0;
  for (const Site& site : kSites) {
    for (int k = 0; k < kPeoplePerSite; ++k) {
      const std::string id = absl::StrFormat("sub-%03d", ++number);
      const double age = std::round(20 + 50 * uniform(engine));
      std::vector<float> voxels(mask.size());
      ForEachVoxel([&](std::size_t i, double x, double y, double z) {
        const double expected = 0.6 + 0.2 * std::cos(3 * x) * std::cos(2 * y + z) - 0.003 * (1 + y) * (age - 45);
        const double shift = site.shift * (1 + 0.5 * x);
        if (mask[i] != 0) voxels[i] = static_cast<float>(expected + shift + site.scale * kVoxelNoise * normal(engine));
      });
      const std::string name = id + "_desc-gm_T1w.nii";
      ATTUNE_RETURN_IF_ERROR(WriteImage(absl::StrCat(folder, "/images/", name), voxels));
      people.WriteRow({id, site.name, absl::StrFormat("%.0f", age), name});
    }
  }
  ATTUNE_RETURN_IF_ERROR(std::move(people).Commit());
  return WriteFileAtomically(folder + "/study.yaml", kImageStudy, FileAccess::kShared);
}

DataSet SyntheticImagesIn(const std::string& folder) {
  return {.participants = folder + "/participants.tsv", .images = folder + "/images"};
}

}  // namespace attune

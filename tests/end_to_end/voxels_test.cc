// SPDX-License-Identifier: Apache-2.0
//
// The main job on made-up images: real processes and certificates.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "tests/end_to_end/masked_values.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

namespace fs = std::filesystem;

TEST(Voxels, Demo_Float32IsFloat64Rounded) {
  const TempFolder temp;
  for (const char* type : {"float32", "float64"}) {
    const ProgramResult result = Simulate(absl::StrCat(temp.path(), "/", type), {"--demo-images", "--dtype", type, "--quiet"});
    ASSERT_EQ(result.exit_code, 0) << result.output;
  }
  const auto mask = Mask::Open(temp.path() + "/float32/data/mask.nii");
  ASSERT_OK(mask);
  int images = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(temp.path() + "/float32/images")) {
    if (entry.path().extension() != ".gz") continue;
    const auto rounded = MaskedValues(entry.path().string(), *mask);
    const auto exact = MaskedValues(temp.path() + "/float64/images/" + entry.path().filename().string(), *mask);
    for (std::size_t v = 0; v < exact.size(); ++v) ASSERT_EQ(rounded[v], static_cast<double>(static_cast<float>(exact[v])));
    ++images;
  }
  EXPECT_EQ(images, 48);
  for (const char* map :
       {"desc-alpha_map", "desc-sigma_map", "desc-betaage_map", "batch-all_desc-gamma_map", "batch-all_desc-delta_map"}) {
    EXPECT_TRUE(FileExists(absl::StrCat(temp.path(), "/float32/sites/bonn/maps/", map, ".nii.gz"))) << map;
  }
}

TEST(Voxels, Demo_KilledWhileWriting_SameBytes) {
  const TempFolder temp;
  for (const char* crash : {"", "bonn=site.image_staged", "bonn=site.harmonizing"}) {
    std::vector<std::string> arguments = {"--demo-images", "--quiet"};
    if (*crash != 0) arguments.insert(arguments.end(), {"--crash-at", crash});
    const std::string out = temp.path() + "/out" + crash;
    const ProgramResult result = Simulate(out, arguments);
    ASSERT_EQ(result.exit_code, 0) << result.output;
    for (const fs::directory_entry& entry : fs::directory_iterator(temp.path() + "/out/images")) {
      const std::string name = "/images/" + entry.path().filename().string();
      if (entry.path().extension() != ".gz") continue;
      EXPECT_EQ(ReadFile(out + name).value(), ReadFile(temp.path() + "/out" + name).value()) << crash << name;
    }
  }
}

TEST(Voxels, BadImage_ExitCode3NamesTheFileAndWritesNothing) {
  const TempFolder temp;
  ASSERT_EQ(Simulate(temp.path() + "/made", {"--demo-images", "--quiet"}).exit_code, 0);
  const std::string data = temp.path() + "/made/data";
  const std::string image = data + "/images/sub-020_desc-gm_T1w.nii";
  const std::string whole = ReadFile(image).value();
  for (const std::string& bad : {whole.substr(0, 2000), std::string(), std::string("no image")}) {
    WriteText(image, bad);
    const std::string out = temp.path() + "/out";
    const ProgramResult result = Simulate(out, {"--study", data + "/study.yaml", "--participants", data + "/participants.tsv",
                                                "--images", data + "/images", "--quiet"});
    EXPECT_EQ(result.exit_code, 3) << result.output;
    EXPECT_NE(result.output.find("sub-020_desc-gm_T1w.nii"), std::string::npos) << result.output;
    EXPECT_FALSE(FileExists(out + "/images"));
  }
}

}  // namespace
}  // namespace attune::testing

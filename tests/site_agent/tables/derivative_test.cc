// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/derivative.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <filesystem>

#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/version.h"
#include "common/wire/json.h"
#include "tests/site_agent/tables/site_data_fixture.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr absl::StatusCode kExists = absl::StatusCode::kAlreadyExists;

class Derivative : public SiteDataTest {
 protected:
  Derivative() : out_(folder_ / "deep/out") {
    sidecar_.set_study("abide-thickness");
    sidecar_.set_method("combat/1");
    sidecar_.add_covariates("age");
  }

  absl::Status Write(bool force = false, absl::Status applied = absl::OkStatus()) {
    const auto data = Open();
    EXPECT_OK(data);
    return WriteDerivative(**data,
                           [&](const Subject& subject, std::span<double> out) {
                             for (std::size_t f = 0; f < out.size(); ++f) out[f] = subject.values[f] + 1;
                             return applied;
                           },
                           sidecar_, model_, {.folder = out_, .force = force});
  }
  std::string Read(const std::string& name) { return folder_.Read("deep/out/" + name); }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(out_)) names.push_back(entry.path().filename());
    return names;
  }

  const std::string out_;
  std::string model_ = "{\"format\": 1}\n";
  v1::Sidecar sidecar_;
};

TEST_F(Derivative, Write_FourFiles) {
  ASSERT_OK(Write());
  EXPECT_THAT(Files(), UnorderedElementsAre("dataset_description.json", "desc-harmonized_features.tsv",
                                            "desc-harmonized_features.json", "model.json"));
  EXPECT_EQ(Read("desc-harmonized_features.tsv"),
            "participant_id\tx\ty\nsub-1\t2.1000000000000001\t3\nsub-2\t4\t5\nsub-3\t6\t7\n");
  EXPECT_EQ(Read("model.json"), model_);
}

TEST_F(Derivative, Write_Description) {
  ASSERT_OK(Write());
  google::protobuf::Struct description;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(Read("dataset_description.json"), &description).ok());
  const auto& fields = description.fields();
  EXPECT_EQ(fields.at("BIDSVersion").string_value(), "1.8.0");
  EXPECT_EQ(fields.at("DatasetType").string_value(), "derivative");
  EXPECT_THAT(fields.at("Name").string_value(), HasSubstr("abide-thickness"));
  const auto& by = fields.at("GeneratedBy").list_value().values(0).struct_value().fields();
  EXPECT_EQ(by.at("Name").string_value(), "attune");
  EXPECT_EQ(by.at("Version").string_value(), kVersion);
}

TEST_F(Derivative, Write_Sidecar) {
  study_.set_missing_covariates(v1::MISSING_COVARIATES_EXCLUDE);
  Participants("participant_id\tscanner\tage\tsex\nsub-2\tA\t20\tM\nsub-1\tA\t\tF\nsub-3\tB\t30\tF\n");
  ASSERT_OK(Write());
  v1::Sidecar sidecar;
  ASSERT_OK(FromJson(Read("desc-harmonized_features.json"), "sidecar", &sidecar));
  EXPECT_TRUE(sidecar.harmonization_applied());
  EXPECT_EQ(sidecar.study(), "abide-thickness");
  EXPECT_EQ(sidecar.method(), "combat/1");
  EXPECT_EQ(sidecar.software_version(), kVersion);
  EXPECT_EQ(sidecar.model_sha256(), Sha256Hex(model_));
  EXPECT_EQ(sidecar.subjects(), 2u);
  EXPECT_EQ(sidecar.subjects_excluded(), 1u);
  EXPECT_THAT(sidecar.batches(), ElementsAre("north/A", "north/B"));
  EXPECT_THAT(sidecar.covariates(), ElementsAre("age"));
  ASSERT_EQ(sidecar.inputs_size(), 2);
  EXPECT_EQ(sidecar.inputs(1).file(), "features.tsv");
  EXPECT_EQ(sidecar.inputs(1).sha256(), Sha256Hex(folder_.Read("features.tsv")));
}

TEST_F(Derivative, Write_ResultIsRefusedAsInput) {
  ASSERT_OK(Write());
  site_.set_features(0, "deep/out/desc-harmonized_features.tsv");
  EXPECT_THAT(Error(), StatusIs(kInvalid, AllOf(HasSubstr("harmonized already"), HasSubstr("'abide-thickness'"))));
}

TEST_F(Derivative, Write_AgainNeedsForce) {
  ASSERT_OK(Write());
  model_ = "{\"format\": 2}\n";
  EXPECT_THAT(Write(), StatusIs(kExists, HasSubstr("--force")));
  EXPECT_EQ(Read("model.json"), "{\"format\": 1}\n");
  ASSERT_OK(Write(true));
  EXPECT_EQ(Read("model.json"), model_);
  EXPECT_EQ(Files().size(), 4u);
}

TEST_F(Derivative, Write_ErrorLeavesWhatWasThere) {
  EXPECT_THAT(Write(false, absl::InternalError("no")), StatusIs(absl::StatusCode::kInternal, "no"));
  EXPECT_THAT(Files(), ElementsAre());
  ASSERT_OK(Write());
  const std::string before = Read("desc-harmonized_features.tsv");
  model_ = "{\"format\": 2}\n";
  EXPECT_THAT(Write(true, absl::InternalError("no")), StatusIs(absl::StatusCode::kInternal, "no"));
  EXPECT_EQ(Read("desc-harmonized_features.tsv"), before);
  EXPECT_EQ(Read("model.json"), "{\"format\": 1}\n");
}

TEST_F(Derivative, Write_SomethingInTheWayLeavesWhatWasThere) {
  ASSERT_OK(Write());
  const std::string before = Read("desc-harmonized_features.tsv");
  std::filesystem::remove(out_ + "/model.json");
  std::filesystem::create_directory(out_ + "/model.json");
  EXPECT_THAT(Write(true), StatusIs(kInvalid, AllOf(HasSubstr("model.json"), HasSubstr("in the way"))));
  EXPECT_EQ(Read("desc-harmonized_features.tsv"), before);
  EXPECT_EQ(Files().size(), 4u);
}

TEST_F(Derivative, Write_OverItsOwnInput_NeverEvenWithForce) {
  ASSERT_OK(Write());
  options_.allow_harmonized_input = true;
  const std::string before = Read("desc-harmonized_features.tsv");
  site_.set_features(0, "deep/out/desc-harmonized_features.tsv");
  EXPECT_THAT(Write(true), StatusIs(kExists, HasSubstr("replace the table that is read")));
  // The same file by another name.
  std::filesystem::create_symlink(out_ + "/desc-harmonized_features.tsv", folder_ / "link.tsv");
  site_.set_features(0, "link.tsv");
  EXPECT_THAT(Write(true), StatusIs(kExists, HasSubstr("replace the table that is read")));
  EXPECT_EQ(Read("desc-harmonized_features.tsv"), before);
}

TEST_F(Derivative, Write_LinkToAResultIsRefusedAsInput) {
  ASSERT_OK(Write());
  std::filesystem::create_symlink(out_ + "/desc-harmonized_features.tsv", folder_ / "link.tsv");
  site_.set_features(0, "link.tsv");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("harmonized already")));
}

TEST_F(Derivative, Write_ResultWithASidecarCutShortIsRefusedAsInput) {
  ASSERT_OK(Write());
  const std::string sidecar = Read("desc-harmonized_features.json");
  folder_.Write("deep/out/desc-harmonized_features.json", sidecar.substr(0, sidecar.size() / 2));
  site_.set_features(0, "deep/out/desc-harmonized_features.tsv");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("harmonized already")));
}

TEST_F(Derivative, Write_NameOfTheStudy) {
  sidecar_.set_study("a\"b");
  EXPECT_THAT(Write(), StatusIs(kInvalid, HasSubstr("no name of a study")));
}

TEST_F(Derivative, Check_FreeOrNot) {
  EXPECT_OK(CheckDerivativeFree(out_, false));  // not there yet
  ASSERT_OK(MakeFolder(out_, FileAccess::kShared));
  EXPECT_OK(CheckDerivativeFree(out_, false));
  folder_.Write("deep/out/other.txt", "x");
  EXPECT_OK(CheckDerivativeFree(out_, false));
  folder_.Write("deep/out/model.json", "{}");
  EXPECT_THAT(CheckDerivativeFree(out_, false), StatusIs(kExists, HasSubstr("model.json")));
  EXPECT_OK(CheckDerivativeFree(out_, true));
}

TEST_F(Derivative, Check_DataSetOfOthersEvenWithForce) {
  ASSERT_OK(MakeFolder(out_, FileAccess::kShared));
  folder_.Write("deep/out/dataset_description.json", R"({"Name": "raw", "BIDSVersion": "1.8.0"})");
  EXPECT_THAT(CheckDerivativeFree(out_, true), StatusIs(kExists, HasSubstr("not Attune's")));
}

TEST_F(Derivative, Check_RemainsOfAKilledRun) {
  ASSERT_OK(Write());
  // As a process leaves it that is killed just before the table is put into its place.
  std::filesystem::remove(out_ + "/desc-harmonized_features.tsv");
  EXPECT_OK(CheckDerivativeFree(out_, false));
  ASSERT_OK(Write());
  EXPECT_EQ(Files().size(), 4u);
}

}  // namespace
}  // namespace attune

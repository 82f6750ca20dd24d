// SPDX-License-Identifier: Apache-2.0
#include "common/wire/model_file.h"

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/json.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::ModelFile GoodModelFile() {
  v1::Manifest manifest;
  manifest.mutable_config()->set_study("s");
  manifest.mutable_config()->mutable_method()->mutable_combat();
  v1::CovariateConfig* covariate = manifest.mutable_config()->add_covariates();
  covariate->set_name("sex");
  covariate->set_type(v1::COVARIATE_TYPE_CATEGORICAL);
  covariate->add_levels("F");
  covariate->add_levels("M");
  manifest.set_method("combat/1");
  manifest.add_features("f1");
  manifest.add_features("f2");
  std::map<BatchId, BatchModel> models;
  for (const char* batch : {"a/x", "b/x"}) {
    Blocks parameters = Blocks::Zero(
        {{.name = "beta", .rows = 1, .cols = 2}, {.name = "empty", .rows = 0, .cols = 2}, {.name = "n", .rows = 1, .cols = 1}});
    parameters.Mutable("beta") << 0.1, -1.0 / 3;
    parameters.Mutable("n") << 17;
    models[batch] = {.batch = batch, .parameters = parameters, .notes = {"a note"}};
  }
  return MakeModelFile(manifest, "digest", models, {"of the study"});
}

TEST(ModelFile, RoundTrip_ThroughJson) {
  v1::ModelFile file;
  ASSERT_OK(FromJson(ToJson(GoodModelFile()), "model.json", &file));
  EXPECT_EQ(file.study(), "s");
  EXPECT_EQ(file.manifest_sha256(), "digest");
  EXPECT_THAT(file.design_columns(), ElementsAre("sex[M]"));
  EXPECT_THAT(file.notes(), ElementsAre("of the study"));
  ASSERT_OK_AND_ASSIGN(const auto models, ModelsOf(file));
  ASSERT_EQ(models.size(), 2u);
  const BatchModel& model = models.at("b/x");
  EXPECT_EQ(model.batch, "b/x");
  EXPECT_EQ(model.parameters["beta"](0, 1), -1.0 / 3);
  EXPECT_EQ(model.parameters["empty"].cols(), 2);
  EXPECT_EQ(model.parameters["n"](0, 0), 17);
  EXPECT_THAT(model.notes, ElementsAre("a note"));
}

TEST(ModelFile, Models_Refuses) {
  using File = v1::ModelFile;
  const auto beta = [](File& f) { return f.mutable_batches(0)->mutable_parameters(0); };
  const std::vector<std::pair<std::function<void(File&)>, std::string>> cases = {
      {[](File& f) { f.set_format(2); }, "format version 2"},
      {[](File& f) { f.mutable_config()->clear_study(); }, "broken study"},
      {[](File& f) { f.set_method("nyul/1"); }, "unknown method 'nyul/1'"},
      {[](File& f) { f.clear_features(); }, "no features"},
      {[](File& f) { f.clear_batches(); }, "no batches"},
      {[](File& f) { f.mutable_batches(0)->clear_batch(); }, "without a name"},
      {[](File& f) { f.mutable_batches(0)->set_batch("b/x"); }, "'b/x' twice"},
      {[&](File& f) { beta(f)->add_values(1); }, "has 3 values of 'beta' of batch 'a/x', expected 1 x 2"},
      {[&](File& f) {
         beta(f)->set_rows(std::uint32_t{1} << 31);
         beta(f)->set_cols(4);
       },
       "has 2 values of 'beta'"},
      {[&](File& f) { beta(f)->set_rows(0); }, "expected 0 x 2"},
      {[&](File& f) {
         beta(f)->clear_values();
         beta(f)->set_rows(0);
         beta(f)->set_cols(UINT32_MAX);
       },
       "has 0 values"},
      {[&](File& f) { beta(f)->set_name("n"); }, "'n' is empty or repeated"},
      {[&](File& f) { beta(f)->set_values(0, std::numeric_limits<double>::infinity()); }, "not finite"},
  };
  for (const auto& [change, message] : cases) {
    v1::ModelFile file = GoodModelFile();
    change(file);
    EXPECT_THAT(ModelsOf(file), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/json.h"

#include "attune/v1/outputs.pb.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Json, RoundTrip_KeepsEveryDigit) {
  v1::ModelFile file;
  file.set_format(1);
  file.set_study("s \"quoted\" \xC3\xA9");
  v1::Parameter* parameter = file.add_batches()->add_parameters();
  for (const double value : {0.1, 1.0 / 3, 1e-300, 123456789.123456789, 5e-324, 1.7976931348623157e308}) {
    parameter->add_values(value);
  }
  v1::ModelFile read;
  ASSERT_OK(FromJson(ToJson(file), "model.json", &read));
  EXPECT_EQ(read.SerializeAsString(), file.SerializeAsString());
  EXPECT_EQ(ToJson(read), ToJson(file));
}

TEST(Json, Print_ZerosAreThereAndAbsentFiguresAreNot) {
  v1::Figures figures;
  EXPECT_THAT(ToJson(figures), AllOf(HasSubstr("\"features_with_batch_effect\""),
                                     HasSubstr("\"median_partial_eta_squared\": 0"), Not(HasSubstr("median_scale_ratio"))));
}

TEST(Json, Parse_Refuses) {
  v1::ModelFile file;
  for (const char* text : {"", "{", "[]", "{\"formatt\": 1}", "{\"format\": \"x\"}", "{\"format\": 1} x", "\xff"}) {
    EXPECT_THAT(FromJson(text, "model.json", &file),
                StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("model.json: not a ModelFile")))
        << text;
  }
  EXPECT_THAT(FromJson(std::string(100'000, '['), "m", &file), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("m:")));
}

}  // namespace
}  // namespace attune

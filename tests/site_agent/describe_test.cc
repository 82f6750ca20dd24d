// SPDX-License-Identifier: Apache-2.0
#include "site_agent/describe.h"

#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DescribeTest, DescribeManifest_SaysWhatIsApproved) {
  HeldManifest held{testing::MakeManifest(), "abc123"};
  (*held.manifest.mutable_config()->mutable_method()->mutable_combat()->mutable_fit_on())["dx"] = "control";
  EXPECT_THAT(DescribeManifest(held, "a"), AllOf(HasSubstr("abc123"), HasSubstr("combat/1: parametric empirical Bayes"),
                                                 HasSubstr("estimated on dx = control"), HasSubstr("a (this site): one, two"),
                                                 HasSubstr("3: f0, f1, f2"), HasSubstr("per_batch"), HasSubstr("at least 10")));
  held.manifest.mutable_config()->set_release(v1::RELEASE_POOLED);
  EXPECT_THAT(DescribeManifest(held, "a"), HasSubstr("only the sum over all batches of all sites"));
}

TEST(DescribeTest, DescribeBatches_Aligned) {
  EXPECT_EQ(DescribeBatches({{"a/one", 12, 10, 1}}),
            "batch   subjects   estimate   excluded\n"
            "a/one         12         10          1\n");
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/masked_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;

const Form kMaskedForm = {{"n", BlockKind::kCount, 1, 1, 0}, {"y", BlockKind::kSum, 3, 70000, -80}};
const BundleBinding kBinding{Sha256Hex("manifest"), 2, Sha256Hex("question")};

absl::Status Counting(std::uint64_t first, std::span<Word128> words) {
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = (Word128{first + i} << 64) | ~Word128{0} >> 64;
  return absl::OkStatus();
}

TEST(MaskedBundle, Write_ReadsBackTheSameForAnyThreads) {
  const TempFolder temp;
  ASSERT_OK_AND_ASSIGN(const std::string one, WriteMasked(temp / "one", kBinding, kMaskedForm, 1, Counting));
  ASSERT_OK_AND_ASSIGN(const std::string four, WriteMasked(temp / "four", kBinding, kMaskedForm, 4, Counting));
  EXPECT_EQ(one, four);
  EXPECT_EQ(one, Sha256Hex(temp.Read("one")));
  ASSERT_OK_AND_ASSIGN(const MaskedSum sum, OpenMasked(temp / "one", kBinding, kMaskedForm));
  ASSERT_EQ(sum.words.size(), 210001u);
  EXPECT_TRUE(sum.words[210000] == ((Word128{210000} << 64) | ~Word128{0} >> 64));
  EXPECT_LT(temp.Read("one").size(), 2.1 * 8 * 210001) << "at most 2.1 times the plain sums";
}

TEST(MaskedBundle, Write_ErrorLeavesNoFile) {
  const TempFolder temp;
  const auto fails_late = [](std::uint64_t first, std::span<Word128>) {
    return first == 0 ? absl::OkStatus() : absl::FailedPreconditionError("does not fit");
  };
  EXPECT_THAT(WriteMasked(temp / "out", kBinding, kMaskedForm, 2, fails_late),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not fit")));
  EXPECT_FALSE(FileExists(temp / "out"));
}

TEST(MaskedBundle, Open_OfAnotherStudyRoundQuestionOrForm) {
  const TempFolder temp;
  ASSERT_OK(WriteMasked(temp / "out", kBinding, kMaskedForm, 1, Counting).status());
  for (int k = 0; k < 3; ++k) {
    BundleBinding other = kBinding;
    if (k == 0) other.manifest_sha256 = Sha256Hex("other");
    if (k == 1) other.round = 1;
    if (k == 2) other.question_sha256 = Sha256Hex("other");
    EXPECT_THAT(OpenMasked(temp / "out", other, kMaskedForm),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("masked sum")));
  }
  Form narrower = kMaskedForm;
  narrower[1].cols = 2;
  EXPECT_THAT(OpenMasked(temp / "out", kBinding, narrower), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("form")));
  // A plain sum is no masked one, and the other way round.
  ASSERT_OK(WriteSum(temp / "sum", kBinding, Summary::Zero(kMaskedForm), {"a", "b"}).status());
  EXPECT_THAT(OpenMasked(temp / "sum", kBinding, kMaskedForm),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("masked sum")));
  EXPECT_FALSE(OpenSum(temp / "out", kBinding, kMaskedForm).ok());
}

TEST(MaskedBundle, Open_TruncatedOrTooLong) {
  const TempFolder temp;
  ASSERT_OK(WriteMasked(temp / "out", kBinding, kMaskedForm, 1, Counting).status());
  const std::string bytes = temp.Read("out");
  for (const std::string& damaged : {bytes.substr(0, bytes.size() - 16), bytes + std::string(16, 'x'), bytes.substr(0, 20)}) {
    temp.Write("damaged", damaged);
    EXPECT_THAT(OpenMasked(temp / "damaged", kBinding, kMaskedForm),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged")));
  }
}

TEST(SumBundle, Write_KeepsTheSites) {
  const TempFolder temp;
  Summary sum = Summary::Zero(kMaskedForm);
  sum.Mutable("y")(2, 5) = 7.5;
  ASSERT_OK(WriteSum(temp / "sum", kBinding, sum, {"a", "b"}).status());
  ASSERT_OK_AND_ASSIGN(const SumOfSites read, OpenSum(temp / "sum", kBinding, kMaskedForm));
  EXPECT_EQ(read.sites, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read.sum["y"](2, 5), 7.5);
  ASSERT_OK(WriteSum(temp / "none", kBinding, sum, {}).status());
  EXPECT_THAT(OpenSum(temp / "none", kBinding, kMaskedForm),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of which sites")));
}

}  // namespace
}  // namespace attune::testing

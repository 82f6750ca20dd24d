// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Form TwoBlocks() { return {{"count", BlockKind::kCount, 1, 1}, {"sums", BlockKind::kSum, 2, 3}}; }

// A view of 7 numbers that fills TwoBlocks.
Blocks ViewOf(const std::shared_ptr<std::vector<double>>& numbers) { return *Blocks::View(TwoBlocks(), *numbers, numbers); }

TEST(Blocks, Default_IsTheEmptyForm) {
  const Blocks blocks;
  EXPECT_TRUE(blocks.form().empty());
  EXPECT_TRUE(blocks.values().empty());
  EXPECT_OK(blocks.CheckFinite());
}

TEST(Blocks, Zero_ShapesAndValues) {
  const Blocks blocks = Blocks::Zero(TwoBlocks());
  EXPECT_EQ(blocks.values().size(), 7);
  EXPECT_TRUE(blocks.Has("sums"));
  EXPECT_FALSE(blocks.Has("sum"));
  EXPECT_EQ(blocks["sums"].rows(), 2);
  EXPECT_EQ(blocks["sums"].cols(), 3);
  EXPECT_TRUE((blocks["sums"].array() == 0).all());
}

TEST(Blocks, Mutable_WritesColumnByColumnInOneRun) {
  Blocks blocks = Blocks::Zero(TwoBlocks());
  blocks.Mutable("count")(0, 0) = 1;
  blocks.Mutable("sums") << 2, 4, 6,  //
      3, 5, 7;
  EXPECT_EQ(std::vector<double>(blocks.values().begin(), blocks.values().end()), (std::vector<double>{1, 2, 3, 4, 5, 6, 7}));
}

TEST(Blocks, EmptySides_AreAllowed) {
  Blocks blocks =
      Blocks::Zero({{"none", BlockKind::kSum, 0, 5}, {"one", BlockKind::kSum, 1, 1}, {"nothing", BlockKind::kSum, 3, 0}});
  blocks.Mutable("one")(0, 0) = 8;
  EXPECT_EQ(blocks["none"].size(), 0);
  EXPECT_EQ(blocks["nothing"].rows(), 3);
  EXPECT_EQ(blocks["one"](0, 0), 8);
  EXPECT_OK(blocks.Add(blocks));
}

TEST(Blocks, Copies_ShareNothing) {
  Blocks original = Blocks::Zero(TwoBlocks());
  const Blocks copy = original;
  original.Mutable("count")(0, 0) = 5;
  EXPECT_EQ(copy["count"](0, 0), 0);
}

TEST(View, ShowsTheNumbersAndKeepsTheirOwner) {
  auto numbers = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3, 4, 5, 6, 7});
  const std::weak_ptr<std::vector<double>> watch = numbers;
  const Blocks view = ViewOf(numbers);
  EXPECT_EQ(view.values().data(), numbers->data());
  numbers.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(view["sums"](1, 2), 7);
}

TEST(View, CopiedAtTheFirstWrite) {
  auto numbers = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3, 4, 5, 6, 7});
  Blocks view = ViewOf(numbers);
  const Blocks other = view;
  view.Mutable("count")(0, 0) = 9;
  EXPECT_EQ(view["count"](0, 0), 9);
  EXPECT_EQ(view["sums"](0, 0), 2);
  EXPECT_EQ((*numbers)[0], 1);
  EXPECT_EQ(other["count"](0, 0), 1);
}

TEST(View, WrongNumberOfValues_InvalidArgument) {
  const auto six = std::make_shared<std::vector<double>>(6);
  EXPECT_THAT(Blocks::View(TwoBlocks(), *six, six), StatusIs(kInvalid, HasSubstr("6 entries")));
  const auto eight = std::make_shared<std::vector<double>>(8);
  EXPECT_THAT(Blocks::View(TwoBlocks(), *eight, eight), StatusIs(kInvalid, HasSubstr("given 8 values")));
}

TEST(Add, ToAView_LeavesTheFileAlone) {
  auto numbers = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3, 4, 5, 6, 7});
  Blocks view = ViewOf(numbers);
  ASSERT_OK(view.Add(ViewOf(numbers)));
  EXPECT_EQ(view["sums"](1, 2), 14);
  EXPECT_EQ((*numbers)[6], 7);
}

TEST(Add, ItselfWhileAView_Doubles) {
  auto numbers = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3, 4, 5, 6, 7});
  Blocks view = ViewOf(numbers);
  numbers.reset();  // the view alone keeps them
  ASSERT_OK(view.Add(view));
  EXPECT_EQ(view["count"](0, 0), 2);
  EXPECT_EQ(view["sums"](1, 2), 14);
}

TEST(CheckFinite, NamesTheBlock) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Blocks blocks = Blocks::Zero(TwoBlocks());
    blocks.Mutable("sums")(1, 1) = bad;
    EXPECT_THAT(blocks.CheckFinite(), StatusIs(kInvalid, HasSubstr("block 'sums'")));
  }
}

TEST(DescribeDifference, Table) {
  const Form form = TwoBlocks();
  EXPECT_EQ(DescribeDifference(form, form), "");
  Form other = form;
  other[1].cols = 4;
  EXPECT_THAT(DescribeDifference(form, other), HasSubstr("block 'sums' is 2 x 3"));
  EXPECT_THAT(DescribeDifference(form, other), HasSubstr("2 x 4"));
  other = form;
  other[0].kind = BlockKind::kHistogram;
  EXPECT_THAT(DescribeDifference(form, other), HasSubstr("kind 2"));
  other = form;
  other[0].resolution_log2 = -40;
  EXPECT_THAT(DescribeDifference(form, other), HasSubstr("resolution 2^-40"));
  other = form;
  other[0].name = "n";
  EXPECT_EQ(DescribeDifference(form, other), "block 0 is 'count' here and 'n' there");
  other = form;
  other.pop_back();
  EXPECT_EQ(DescribeDifference(form, other), "block 'sums' exists only here");
  EXPECT_EQ(DescribeDifference(other, form), "block 'sums' exists only there");
}

TEST(CheckedSize, CountsAndRefuses) {
  EXPECT_EQ(*CheckedSize({}, 0), 0);
  EXPECT_EQ(*CheckedSize(TwoBlocks(), 7), 7);
  EXPECT_THAT(CheckedSize(TwoBlocks(), 6), StatusIs(kInvalid, HasSubstr("more than 6 entries")));
  EXPECT_THAT(CheckedSize({{"", BlockKind::kSum, 1, 1}}, 9), StatusIs(kInvalid, HasSubstr("empty or repeated")));
  EXPECT_THAT(CheckedSize({{"a", BlockKind::kSum, 1, 1}, {"a", BlockKind::kSum, 1, 1}}, 9),
              StatusIs(kInvalid, HasSubstr("'a'")));
  EXPECT_THAT(CheckedSize({{"a", BlockKind::kSum, -1, 1}}, 9), StatusIs(kInvalid, HasSubstr("negative")));
  EXPECT_THAT(CheckedSize({{"a", BlockKind::kSum, 0, -5}}, 9), StatusIs(kInvalid, HasSubstr("negative")));
}

TEST(CheckedSize, SidesWhoseProductOverflows_InvalidArgument) {
  constexpr Eigen::Index kHuge = std::numeric_limits<Eigen::Index>::max();
  const Form forms[] = {{{"a", BlockKind::kSum, kHuge, kHuge}},
                        {{"a", BlockKind::kSum, Eigen::Index{1} << 32, Eigen::Index{1} << 32}},
                        {{"a", BlockKind::kSum, 1, kHuge}, {"b", BlockKind::kSum, 3, kHuge}}};
  for (const Form& form : forms) EXPECT_THAT(CheckedSize(form, 1000), StatusIs(kInvalid, HasSubstr("more than 1000 entries")));
  EXPECT_EQ(*CheckedSize({{"a", BlockKind::kSum, 0, kHuge}}, 0), 0);
}

}  // namespace
}  // namespace attune

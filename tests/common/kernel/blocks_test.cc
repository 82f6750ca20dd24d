// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Form TwoBlocks() { return {{"count", BlockKind::kCount, 1, 1}, {"sums", BlockKind::kSum, 2, 3}}; }

// Numbers, or bytes, in a mapped file that has no name any more.
std::shared_ptr<const MappedFile> FileOf(const std::string& bytes) {
  const TempFolder folder;
  return *MappedFile::Open(folder.Write("values", bytes));
}
std::shared_ptr<const MappedFile> FileOfNumbers(const std::vector<double>& numbers) {
  return FileOf(std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)));
}
double First(const MappedFile& file) { return *reinterpret_cast<const double*>(file.bytes().data()); }

// A view of 7 numbers that fills TwoBlocks.
Blocks ViewOf(const std::shared_ptr<const MappedFile>& numbers) {
  return *Blocks::View(TwoBlocks(), {}, numbers->bytes(), numbers);
}

// Flags of 1 x `count`, of which every third is set, as bits between two blocks of doubles; and the same owned.
Form FlagsForm(Eigen::Index count) {
  return {{"a", BlockKind::kSum, 1, 1}, {"flags", BlockKind::kCount, 1, count}, {"b", BlockKind::kSum, 2, 1}};
}
Blocks OwnedFlags(Eigen::Index count) {
  Blocks blocks = Blocks::Zero(FlagsForm(count));
  blocks.Mutable("a") << 1.5;
  blocks.Mutable("b") << 2.5, -3.5;
  auto flags = blocks.Mutable("flags");
  for (Eigen::Index i = 0; i < count; i += 3) flags(0, i) = 1;
  return blocks;
}
Blocks PackedFlags(Eigen::Index count) {
  const Blocks owned = OwnedFlags(count);
  std::string bytes;
  for (const char* name : {"a", "flags", "b"}) {
    const auto block = owned[name];
    if (std::string(name) == "flags") {
      std::string bits(static_cast<std::size_t>((count + 63) / 64 * 8), '\0');
      for (Eigen::Index i = 0; i < count; ++i) {
        if (block(0, i) == 1) bits[static_cast<std::size_t>(i / 8)] |= static_cast<char>(1 << (i % 8));
      }
      bytes += bits;
    } else {
      bytes.append(reinterpret_cast<const char*>(block.data()), static_cast<std::size_t>(block.size()) * sizeof(double));
    }
  }
  const auto file = FileOf(bytes);
  return *Blocks::View(FlagsForm(count), {false, true, false}, file->bytes(), file);
}

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

TEST(View, ShowsTheNumbersAndKeepsTheFile) {
  auto file = FileOfNumbers({1, 2, 3, 4, 5, 6, 7});
  const std::weak_ptr<const MappedFile> watch = file;
  const Blocks view = ViewOf(file);
  EXPECT_EQ(static_cast<const void*>(view.values().data()), file->bytes().data());
  file.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(view["sums"](1, 2), 7);
}

TEST(View, CopiedAtTheFirstWrite) {
  const auto file = FileOfNumbers({1, 2, 3, 4, 5, 6, 7});
  Blocks view = ViewOf(file);
  const Blocks other = view;
  view.Mutable("count")(0, 0) = 9;
  EXPECT_EQ(view["count"](0, 0), 9);
  EXPECT_EQ(view["sums"](0, 0), 2);
  EXPECT_EQ(First(*file), 1);
  EXPECT_EQ(other["count"](0, 0), 1);
}

TEST(View, WrongNumberOfBytes_InvalidArgument) {
  for (const std::size_t numbers : {0, 6, 8}) {
    const auto file = FileOfNumbers(std::vector<double>(numbers));
    EXPECT_THAT(Blocks::View(TwoBlocks(), {}, file->bytes(), file), StatusIs(kInvalid, ::testing::_)) << numbers;
  }
  const auto file = FileOfNumbers(std::vector<double>(2));
  const Form flags = {{"flags", BlockKind::kCount, 1, 65}};
  EXPECT_OK(Blocks::View(flags, {true}, file->bytes(), file));
  EXPECT_THAT(Blocks::View(flags, {true}, file->bytes().substr(8), file), StatusIs(kInvalid, HasSubstr("entries")));
  EXPECT_THAT(Blocks::View(flags, {}, file->bytes(), file), StatusIs(kInvalid, HasSubstr("given 16")));
}

TEST(Packed, ReadsAsTheSameNumbers) {
  for (const Eigen::Index count : {1, 7, 8, 9, 63, 64, 65, 1000}) {
    const Blocks owned = OwnedFlags(count);
    const Blocks packed = PackedFlags(count);
    EXPECT_TRUE(packed.AnyPacked());
    EXPECT_FALSE(packed.IsPacked(0));
    EXPECT_TRUE(packed.IsPacked(1));
    EXPECT_FALSE(packed.IsPacked(2));
    EXPECT_EQ(packed["a"], owned["a"]);
    EXPECT_EQ(packed["b"], owned["b"]);
    EXPECT_OK(packed.CheckFinite());
    for (Eigen::Index first = 0; first < count; first += 5) {
      const Eigen::Index some = std::min<Eigen::Index>(count - first, 11);
      EXPECT_EQ(packed.Columns("flags", first, some), owned["flags"].middleCols(first, some)) << count << " " << first;
      EXPECT_EQ(owned.Columns("flags", first, some), owned["flags"].middleCols(first, some));
    }
    const Blocks unpacked = packed.Unpacked();
    EXPECT_FALSE(unpacked.AnyPacked());
    EXPECT_TRUE(std::equal(unpacked.values().begin(), unpacked.values().end(), owned.values().begin(), owned.values().end()));
  }
}

TEST(Packed, Unpacked_OfWhatIsNot_StaysAView) {
  const auto file = FileOfNumbers({1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(static_cast<const void*>(ViewOf(file).Unpacked().values().data()), file->bytes().data());
}

TEST(Packed, UnpackedAtTheFirstWrite) {
  Blocks packed = PackedFlags(70);
  packed.Mutable("a")(0, 0) = 4;
  EXPECT_FALSE(packed.AnyPacked());
  EXPECT_EQ(packed["flags"], OwnedFlags(70)["flags"]);
  EXPECT_EQ(packed["b"], OwnedFlags(70)["b"]);
}

TEST(Packed, AddsLikeTheSameNumbers) {
  Blocks sum = OwnedFlags(70);
  ASSERT_OK(sum.Add(PackedFlags(70)));
  EXPECT_EQ(sum["flags"], 2 * OwnedFlags(70)["flags"]);
  EXPECT_EQ(sum["b"](1, 0), -7);
  Blocks itself = PackedFlags(70);
  ASSERT_OK(itself.Add(itself));
  EXPECT_EQ(itself["flags"], sum["flags"]);
  EXPECT_EQ(itself["a"](0, 0), 3);
}

// Larger than what is kept in memory, in a file and as scratch: what was let go of comes back.
TEST(Evict, ValuesStay) {
  constexpr Eigen::Index kMany = 700'000;
  Blocks owned = OwnedFlags(kMany);
  const Blocks packed = PackedFlags(kMany);
  for (const Blocks* blocks : {&std::as_const(owned), &packed}) {
    blocks->Evict();
    EXPECT_EQ(blocks->Columns("flags", kMany - 10, 10), OwnedFlags(kMany)["flags"].rightCols(10));
    EXPECT_EQ((*blocks)["b"](1, 0), -3.5);
  }
  owned.Mutable("a")(0, 0) = 8;
  owned.Evict();
  EXPECT_EQ(owned["a"](0, 0), 8);
}

TEST(Add, ToAView_LeavesTheFileAlone) {
  const auto file = FileOfNumbers({1, 2, 3, 4, 5, 6, 7});
  Blocks view = ViewOf(file);
  ASSERT_OK(view.Add(ViewOf(file)));
  EXPECT_EQ(view["sums"](1, 2), 14);
  EXPECT_EQ(First(*file), 1);
}

TEST(Add, ItselfWhileAView_Doubles) {
  Blocks view = ViewOf(FileOfNumbers({1, 2, 3, 4, 5, 6, 7}));  // the view alone keeps them
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

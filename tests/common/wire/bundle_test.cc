// SPDX-License-Identifier: Apache-2.0
#include "common/wire/bundle.h"

#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Form kForm = {{.name = "n", .kind = BlockKind::kCount, .rows = 1, .cols = 1, .resolution_log2 = 0},
                    {.name = "flags", .kind = BlockKind::kCount, .rows = 1, .cols = 13, .resolution_log2 = 0},
                    {.name = "xy", .kind = BlockKind::kSum, .rows = 2, .cols = 3}};

Blocks Filled(double start) {
  Blocks blocks = Blocks::Zero(kForm);
  blocks.Mutable("n") << 12;
  blocks.Mutable("flags")(0, 2) = 1;
  blocks.Mutable("flags")(0, 12) = 1;
  blocks.Mutable("xy") << start, 2, 3, 4, 5, 6.25;
  return blocks;
}

class BundleTest : public ::testing::Test {
 protected:
  std::string WriteGoodAnswer() {
    auto digest = WriteAnswer(path_, binding_, {{"a/y", Filled(2)}, {"a/x", Filled(1)}});
    EXPECT_OK(digest);
    return digest.value_or("");
  }
  std::string Bytes() {
    auto bytes = ReadFile(path_);
    EXPECT_OK(bytes);
    return bytes.value_or("");
  }
  absl::StatusOr<Bundle> OpenChanged(const std::string& bytes, v1::BundleKind kind = v1::BUNDLE_KIND_ANSWER) {
    folder_.Write("bundle", bytes);  // thousands of times: not synced to disk
    return OpenBundle(path_, kind, binding_);
  }
  // The header by hand, with `values` zeros behind it.
  absl::StatusOr<Bundle> OpenForged(const v1::BundleHeader& header, std::size_t values = 0) {
    const std::string encoded = header.SerializeAsString();
    const std::uint64_t size = encoded.size();
    std::string bytes("ATTUNE\0\2", 8);
    bytes.append(reinterpret_cast<const char*>(&size), 8);
    bytes += encoded;
    bytes.resize((bytes.size() + 63) / 64 * 64);
    bytes.resize(bytes.size() + values * 8);
    return OpenChanged(bytes, header.kind());
  }
  v1::BundleHeader GoodHeader(v1::BundleKind kind) {
    v1::BundleHeader header;
    header.set_kind(kind);
    header.set_manifest_sha256(binding_.manifest_sha256);
    header.set_round(binding_.round);
    if (kind != v1::BUNDLE_KIND_QUESTION) header.set_question_sha256(binding_.question_sha256);
    return header;
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "bundle";
  const BundleBinding binding_ = {.manifest_sha256 = Sha256Hex("m"), .round = 2, .question_sha256 = Sha256Hex("q")};
};

TEST_F(BundleTest, Answer_RoundTrip) {
  const std::string digest = WriteGoodAnswer();
  EXPECT_EQ(digest, Sha256Hex(Bytes()));
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding_));
  ASSERT_EQ(bundle.parts.size(), 2u);
  EXPECT_EQ(bundle.parts.at("a/x").form(), kForm);
  EXPECT_EQ(bundle.parts.at("a/x")["xy"], Filled(1)["xy"]);
  EXPECT_EQ(bundle.parts.at("a/y")["xy"], Filled(2)["xy"]);
  EXPECT_EQ(bundle.parts.at("a/y")["flags"], Filled(2)["flags"]);
  struct stat info = {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(BundleTest, Answer_SameContentSameBytes) {
  const std::string digest = WriteGoodAnswer();
  EXPECT_EQ(WriteGoodAnswer(), digest);
  // The bytes are a format: they change only with its version.
  EXPECT_EQ(digest, "85ddf6d58cd7107c7e062dc57c440118da2ae4270dbad868d30deb32f874e276");
}

TEST_F(BundleTest, Packed_ExactlyTheFlagsOfAnswers) {
  const auto block = [](const char* name, BlockKind kind, Eigen::Index rows, Eigen::Index cols) {
    return BlockSpec{.name = name, .kind = kind, .rows = rows, .cols = cols};
  };
  Blocks blocks = Blocks::Zero({block("one", BlockKind::kCount, 1, 1), block("sums", BlockKind::kSum, 1, 9),
                                block("flags", BlockKind::kCount, 2, 50), block("counts", BlockKind::kCount, 1, 9),
                                block("none", BlockKind::kCount, 0, 9), block("bins", BlockKind::kHistogram, 1, 9)});
  blocks.Mutable("flags")(1, 49) = 1;
  blocks.Mutable("counts")(0, 4) = 2;
  blocks.Mutable("sums").setOnes();
  ASSERT_OK(WriteAnswer(path_, binding_, {{"a/x", blocks}}));
  ASSERT_OK_AND_ASSIGN(const Bundle packed, OpenPackedAnswer(path_, binding_, BundleValues::kChecked));
  EXPECT_THAT(packed.header.parts(0).packed(), ElementsAre(2));
  const Blocks& part = packed.parts.at("a/x");
  for (std::size_t k = 0; k < part.form().size(); ++k) EXPECT_EQ(part.IsPacked(k), k == 2);
  EXPECT_EQ(part.Columns("flags", 0, 50), blocks["flags"]);
  const std::size_t header = (16 + packed.header.ByteSizeLong() + 63) / 64 * 64;
  EXPECT_EQ(Bytes().size(), header + 8 * (1 + 9 + 2 + 9 + 9));
  // What is packed is written as it was read.
  ASSERT_OK_AND_ASSIGN(const std::string digest, Sha256OfFile(path_));
  ASSERT_OK_AND_ASSIGN(const std::string again, WriteAnswer(folder_ / "again", binding_, packed.parts));
  EXPECT_EQ(again, digest);

  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding_));
  EXPECT_FALSE(bundle.parts.at("a/x").AnyPacked());
  EXPECT_EQ(bundle.parts.at("a/x")["flags"], blocks["flags"]);
  EXPECT_EQ(bundle.parts.at("a/x")["counts"], blocks["counts"]);

  ASSERT_OK(WriteCorrectionCommon(path_, binding_, {.common = blocks}));
  ASSERT_OK_AND_ASSIGN(const Bundle common, OpenBundle(path_, v1::BUNDLE_KIND_CORRECTION_COMMON, binding_));
  EXPECT_THAT(common.header.parts(0).packed(), IsEmpty());
  EXPECT_EQ(common.parts.at(kCommonPart)["flags"], blocks["flags"]);
}

TEST_F(BundleTest, Packed_LongBlocksInPieces) {
  Blocks blocks = Blocks::Zero({{.name = "flags", .kind = BlockKind::kCount, .rows = 1, .cols = 20'001}});
  for (Eigen::Index i = 0; i < 20'001; i += 7) blocks.Mutable("flags")(0, i) = 1;
  ASSERT_OK(WriteAnswer(path_, binding_, {{"a/x", blocks}}));
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding_));
  EXPECT_EQ(bundle.parts.at("a/x")["flags"], blocks["flags"]);
}

// One content, one sequence of bytes: everything else is refused.
TEST_F(BundleTest, Packed_NotCanonical) {
  using Header = v1::BundleHeader;
  const auto header_of = [&](v1::BundleKind kind, v1::BlockKind block_kind, std::uint64_t cols) {
    Header header = GoodHeader(kind);
    v1::Part* part = header.add_parts();
    part->set_name(kind == v1::BUNDLE_KIND_ANSWER ? "a/x" : kCommonPart);
    v1::Block* block = part->add_form();
    block->set_name("flags");
    block->set_kind(block_kind);
    block->set_rows(1);
    block->set_cols(cols);
    return header;
  };
  const Header good = header_of(v1::BUNDLE_KIND_ANSWER, v1::BLOCK_KIND_COUNT, 13);
  Header packed = good;
  packed.mutable_parts(0)->add_packed(0);
  EXPECT_OK(OpenForged(packed, 1));
  EXPECT_THAT(OpenForged(good, 13), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not written as bits")));
  EXPECT_THAT(OpenForged(packed, 0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("truncated")));
  EXPECT_THAT(OpenForged(packed, 2), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("too long")));
  OpenForged(packed, 1).IgnoreError();
  std::string bytes = Bytes();
  for (const int bit : {13, 15, 16, 63}) {
    std::string changed = bytes;
    changed[changed.size() - 8 + static_cast<std::size_t>(bit / 8)] = static_cast<char>(1 << (bit % 8));
    EXPECT_THAT(OpenChanged(changed), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'flags' are not zero"))) << bit;
  }
  bytes[bytes.size() - 7] = 1 << 4;  // bit 12 is the last of the block
  ASSERT_OK_AND_ASSIGN(const Bundle last, OpenChanged(bytes));
  EXPECT_EQ(last.parts.at("a/x")["flags"](0, 12), 1);

  for (const std::vector<std::uint32_t>& numbers : std::vector<std::vector<std::uint32_t>>{{0, 0}, {1}, {0, 1}, {4294967295}}) {
    Header header = good;
    header.mutable_parts(0)->mutable_packed()->Add(numbers.begin(), numbers.end());
    EXPECT_THAT(OpenForged(header, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be bits")));
  }
  for (Header header : {header_of(v1::BUNDLE_KIND_ANSWER, v1::BLOCK_KIND_SUM, 13),
                        header_of(v1::BUNDLE_KIND_ANSWER, v1::BLOCK_KIND_HISTOGRAM, 13),
                        header_of(v1::BUNDLE_KIND_ANSWER, v1::BLOCK_KIND_COUNT, 1),
                        header_of(v1::BUNDLE_KIND_ANSWER, v1::BLOCK_KIND_COUNT, 0)}) {
    header.mutable_parts(0)->add_packed(0);
    EXPECT_THAT(OpenForged(header, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be bits")));
  }
  Header common = header_of(v1::BUNDLE_KIND_CORRECTION_COMMON, v1::BLOCK_KIND_COUNT, 13);
  EXPECT_OK(OpenForged(common, 13));
  common.mutable_parts(0)->add_packed(0);
  EXPECT_THAT(OpenForged(common, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("only an answer")));
}

// Bytes whose digest was compared are not looked at again; their shape is.
TEST_F(BundleTest, Packed_KnownValues) {
  WriteGoodAnswer();
  std::string bytes = Bytes();
  const double infinity = std::numeric_limits<double>::infinity();
  std::memcpy(bytes.data() + bytes.size() - 8, &infinity, 8);
  folder_.Write("bundle", bytes);
  EXPECT_OK(OpenPackedAnswer(path_, binding_, BundleValues::kKnown));
  EXPECT_THAT(OpenPackedAnswer(path_, binding_, BundleValues::kChecked),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("part 'a/y': block 'xy'")));
  folder_.Write("bundle", bytes.substr(0, bytes.size() - 8));
  EXPECT_THAT(OpenPackedAnswer(path_, binding_, BundleValues::kKnown), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST_F(BundleTest, Open_FormatVersion1_SaysSo) {
  WriteGoodAnswer();
  std::string bytes = Bytes();
  bytes[7] = 1;
  EXPECT_THAT(OpenChanged(bytes), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not a bundle of format version 2")));
}

TEST_F(BundleTest, Answer_ViewOutlivesTheBundle) {
  WriteGoodAnswer();
  Blocks kept;
  {
    ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenPackedAnswer(path_, binding_, BundleValues::kChecked));
    kept = bundle.parts.at("a/y");
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(kept["xy"](0, 0), 2);
  ASSERT_OK(kept.Add(Filled(1)));
  EXPECT_EQ(kept["xy"](0, 0), 3);
}

TEST_F(BundleTest, Question_RoundTrip) {
  for (const bool with_body : {false, true}) {
    const Question question = {.round = 2, .form = kForm, .body = with_body ? Filled(3) : Blocks()};
    ASSERT_OK(WriteQuestion(path_, binding_, question));
    ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(path_, v1::BUNDLE_KIND_QUESTION, binding_));
    ASSERT_OK_AND_ASSIGN(const Question read, QuestionOf(bundle));
    EXPECT_EQ(read.round, 2u);
    EXPECT_EQ(read.form, kForm);
    EXPECT_EQ(read.body.form(), question.body.form());
    EXPECT_EQ(read.body.values().size(), question.body.values().size());
  }
  EXPECT_THAT(WriteQuestion(path_, binding_, {.round = 3}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("round 3")));
}

TEST_F(BundleTest, Correction_RoundTrip) {
  const Correction correction = {.common = Filled(0),
                                 .by_batch = {{"a/x", Filled(1)}, {"a/y", Filled(2)}, {"b/x", Filled(3)}},
                                 .evidence = Filled(4),
                                 .notes = {"one", "two"}};
  const std::string site_path = folder_ / "site";
  const std::string evidence_path = folder_ / "evidence";
  ASSERT_OK(WriteCorrectionCommon(path_, binding_, correction));
  ASSERT_OK(WriteCorrectionSite(site_path, binding_, correction, "a"));
  ASSERT_OK(WriteEvidence(evidence_path, binding_, correction));
  EXPECT_THAT(WriteCorrectionSite(site_path, binding_, correction, "c"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'c'")));

  ASSERT_OK_AND_ASSIGN(const Bundle common, OpenBundle(path_, v1::BUNDLE_KIND_CORRECTION_COMMON, binding_));
  ASSERT_OK_AND_ASSIGN(const Bundle site, OpenBundle(site_path, v1::BUNDLE_KIND_CORRECTION_SITE, binding_));
  ASSERT_OK_AND_ASSIGN(const Bundle evidence, OpenBundle(evidence_path, v1::BUNDLE_KIND_EVIDENCE, binding_));
  EXPECT_EQ(evidence.parts.at(kEvidencePart)["xy"](0, 0), 4);

  ASSERT_OK_AND_ASSIGN(const Correction read, CorrectionOf(common, &site));
  EXPECT_THAT(read.notes, ElementsAre("one", "two"));
  EXPECT_EQ(read.common["xy"](0, 0), 0);
  ASSERT_EQ(read.by_batch.size(), 2u);
  EXPECT_EQ(read.by_batch.at("a/y")["xy"](0, 0), 2);
  ASSERT_OK_AND_ASSIGN(const Correction pooled, CorrectionOf(common, nullptr));
  EXPECT_THAT(pooled.by_batch, IsEmpty());

  EXPECT_THAT(CorrectionOf(site, &site), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected the common part")));
  EXPECT_THAT(CorrectionOf(common, &evidence), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("evidence")));
  Bundle other = site;
  other.header.set_round(3);
  EXPECT_THAT(CorrectionOf(common, &other), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("round 3")));
  EXPECT_THAT(QuestionOf(common), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a question")));
}

TEST_F(BundleTest, Open_BoundToAnother) {
  WriteGoodAnswer();
  BundleBinding binding = binding_;
  binding.manifest_sha256 = Sha256Hex("other");
  EXPECT_THAT(OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the manifest")));
  binding = binding_;
  binding.round = 3;
  EXPECT_THAT(OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("round 2, expected 3")));
  binding = binding_;
  binding.question_sha256 = Sha256Hex("other");
  EXPECT_THAT(OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the question")));
  EXPECT_THAT(OpenBundle(path_, v1::BUNDLE_KIND_EVIDENCE, binding_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("an answer, expected evidence")));
  EXPECT_OK(OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, {.manifest_sha256 = "", .round = 0}));
  EXPECT_THAT(OpenBundle(folder_ / "none", v1::BUNDLE_KIND_ANSWER, binding_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(BundleTest, Write_NotFinite) {
  for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THAT(WriteAnswer(path_, binding_, {{"a/x", Filled(value)}}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("part 'a/x': block 'xy'")));
  }
  EXPECT_FALSE(FileExists(path_));
  EXPECT_THAT(WriteAnswer(path_, binding_, {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least one batch")));
}

TEST_F(BundleTest, Open_NotFinite) {
  WriteGoodAnswer();
  std::string bytes = Bytes();
  const double infinity = std::numeric_limits<double>::infinity();
  std::memcpy(bytes.data() + bytes.size() - 8, &infinity, 8);
  EXPECT_THAT(OpenChanged(bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("part 'a/y': block 'xy'")));
}

TEST_F(BundleTest, Open_TruncatedAtEveryLengthOrTooLong) {
  WriteGoodAnswer();
  const std::string bytes = Bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(OpenChanged(bytes.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_))) << size;
  }
  for (const std::size_t more : {1, 8, 64}) {
    EXPECT_THAT(OpenChanged(bytes + std::string(more, '\0')), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
  }
}

TEST_F(BundleTest, Open_EveryBitFlipIsAnErrorOrOtherContent) {
  WriteGoodAnswer();
  const std::string bytes = Bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      // Every bit of the fixed start; behind it one per byte.
      if (i >= 32 && bit != static_cast<int>(i * 5 % 8)) continue;
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const auto bundle = OpenChanged(changed);
      if (!bundle.ok()) {
        EXPECT_TRUE(absl::IsDataLoss(bundle.status()) || absl::IsInvalidArgument(bundle.status())) << bundle.status();
        continue;
      }
      // What opens is canonical: written again it gives the same bytes. Not for each: writing syncs the disk.
      if (i % 8 != 2) continue;
      ASSERT_OK_AND_ASSIGN(const std::string digest, WriteAnswer(folder_ / "again", binding_, bundle->parts));
      EXPECT_EQ(digest, Sha256Hex(changed)) << i;
    }
  }
}

TEST_F(BundleTest, Open_ForgedHeaders) {
  using Header = v1::BundleHeader;
  const auto block = [](Header& h, std::uint64_t rows, std::uint64_t cols, int kind = 0, int resolution = -60) {
    v1::Block* b = h.mutable_parts(0)->add_form();
    b->set_name(std::string(1, static_cast<char>('a' + h.parts(0).form_size())));
    b->set_rows(rows);
    b->set_cols(cols);
    b->set_kind(static_cast<v1::BlockKind>(kind));
    b->set_resolution_log2(resolution);
  };
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;
  const std::vector<std::pair<std::function<void(Header&)>, std::string>> cases = {
      {[&](Header& h) { block(h, kHuge, kHuge); }, "has a side above"},
      {[&](Header& h) { block(h, 0, kHuge); }, "has a side above"},
      {[&](Header& h) { block(h, 1 << 20, 1 << 20); }, "more than 2147483648 entries"},
      {[&](Header& h) { block(h, 1 << 15, 1 << 15); }, "truncated"},
      {[&](Header& h) { block(h, 1, 1, 7); }, "unknown kind"},
      {[&](Header& h) { block(h, 1, 1, 0, 5000); }, "resolution"},
      {[&](Header& h) {
         block(h, 1, 1);
         h.mutable_parts(0)->mutable_form(0)->clear_name();
       },
       "empty or repeated"},
      {[](Header& h) { h.clear_parts(); }, "expected one per batch"},
      {[](Header& h) { h.add_parts()->set_name("a"); }, "not sorted"},
      {[](Header& h) { h.add_parts()->set_name("z\n"); }, "not sorted"},
      {[](Header& h) { h.set_round(0); }, "rounds count from 1"},
      {[](Header& h) { h.add_notes("psst"); }, "notes"},
      {[](Header& h) { h.add_asked()->set_name("n"); }, "as only a question may"},
  };
  for (const auto& [change, message] : cases) {
    v1::BundleHeader header = GoodHeader(v1::BUNDLE_KIND_ANSWER);
    header.add_parts()->set_name("a/x");
    change(header);
    const auto bundle = OpenForged(header);
    EXPECT_FALSE(bundle.ok());
    EXPECT_THAT(std::string(bundle.status().message()), HasSubstr(message));
  }
  v1::BundleHeader question = GoodHeader(v1::BUNDLE_KIND_QUESTION);
  question.add_parts()->set_name("other");
  EXPECT_THAT(OpenForged(question), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 'body' alone")));
  question.mutable_parts(0)->set_name("body");
  v1::Block* asked = question.add_asked();
  asked->set_name("n");
  asked->set_rows(1 << 20);
  asked->set_cols(1 << 20);
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenForged(question));
  EXPECT_THAT(QuestionOf(bundle), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entries")));
}

TEST_F(BundleTest, Open_LargeStudy) {
  // 200 batches, and one part of a million features.
  std::map<std::string, Summary> parts;
  for (int batch = 100; batch < 300; ++batch) parts.emplace("a/" + std::to_string(batch), Filled(batch));
  parts.emplace("a/wide", Blocks::Zero({{.name = "y", .rows = 1, .cols = 1'000'000}}));
  ASSERT_OK_AND_ASSIGN(const std::string digest, WriteAnswer(path_, binding_, parts));
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(path_, v1::BUNDLE_KIND_ANSWER, binding_));
  EXPECT_EQ(bundle.parts.size(), 201u);
  EXPECT_EQ(bundle.parts.at("a/299")["xy"](0, 0), 299);
  ASSERT_OK_AND_ASSIGN(const std::string of_file, Sha256OfFile(path_));
  EXPECT_EQ(of_file, digest);
}

}  // namespace
}  // namespace attune

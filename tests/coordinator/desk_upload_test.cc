// SPDX-License-Identifier: Apache-2.0
//
// Answers on their way in, and those that do not count (desk_upload.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/desk.h"
#include "tests/coordinator/fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Code = absl::StatusCode;

TEST_F(DeskTest, Upload_Resumes) {
  StartDemo();
  const Upload upload = AnswerOf("north");
  v1::Chunk chunk;
  chunk.set_data(upload.bytes.substr(0, 100));
  ASSERT_OK(desk_->Append("north", upload.header, chunk));
  Reopen();
  ASSERT_OK_AND_ASSIGN(const v1::UploadState state, desk_->GetUpload("north", upload.header));
  EXPECT_EQ(state.received(), 100u);
  EXPECT_FALSE(state.recorded());
  EXPECT_THAT(desk_->FinishUpload("north", upload.header), StatusIs(Code::kFailedPrecondition, HasSubstr("100 of")));
  chunk.set_offset(200);
  chunk.set_data("x");
  EXPECT_THAT(desk_->Append("north", upload.header, chunk), StatusIs(Code::kOutOfRange, HasSubstr("100")));
  chunk.set_offset(50);  // 50 bytes again, then the rest
  chunk.set_data(upload.bytes.substr(50));
  ASSERT_OK(desk_->Append("north", upload.header, chunk));
  ASSERT_OK_AND_ASSIGN(const v1::UploadState finished, desk_->FinishUpload("north", upload.header));
  EXPECT_TRUE(finished.recorded());
}

TEST_F(DeskTest, Upload_TwiceTheSame) {
  StartDemo();
  const Upload upload = AnswerOf("north");
  ASSERT_OK(Submit("north", upload));
  EXPECT_OK(Submit("north", upload));
  ASSERT_OK_AND_ASSIGN(const v1::UploadState state, desk_->GetUpload("north", upload.header));
  EXPECT_TRUE(state.recorded());
  ASSERT_OK(Submit("south", AnswerOf("south")));
  EXPECT_OK(Submit("north", upload));  // also when the round is over
  EXPECT_EQ(Status().round(), 2u);
}

TEST_F(DeskTest, Upload_AnotherAnswer) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  EXPECT_THAT(Submit("north", AnswerOf("north", 0.5)), StatusIs(Code::kFailedPrecondition, HasSubstr("another answer")));
}

TEST_F(DeskTest, Upload_AnotherBegun_TakesThePlaceOfTheLast) {
  StartDemo();
  const auto kept = [&] {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "blobs/scratch")) {
      count += absl::StrContains(entry.path().filename().string(), "upload") ? 1 : 0;
    }
    return count;
  };
  // However many a site begins, one is kept.
  for (int i = 1; i <= 5; ++i) {
    const Upload upload = AnswerOf("north", i);
    v1::Chunk chunk;
    chunk.set_data(upload.bytes.substr(0, 100));
    ASSERT_OK(desk_->Append("north", upload.header, chunk));
    EXPECT_EQ(kept(), 1u);
  }
  ASSERT_OK(Submit("south", AnswerOf("south")));  // another site's is another's
  EXPECT_EQ(kept(), 1u);
  ASSERT_OK(Submit("north", AnswerOf("north")));
  EXPECT_EQ(kept(), 0u);
}

TEST_F(DeskTest, Upload_BoundToAnotherManifest) {
  StartDemo();
  Upload upload = AnswerOf("south");
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(folder_ / "answer", v1::BUNDLE_KIND_ANSWER, {"", 0, ""}));
  upload = UploadOf({std::string(64, '0'), 1, Status().rounds[0].question_sha256}, bundle.parts);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kInvalidArgument, HasSubstr("manifest")));
}

TEST_F(DeskTest, Upload_HeaderFarTooLarge_IsNotParsed) {
  StartDemo();
  Form many;
  for (int i = 0; i < 2000; ++i) many.push_back({.name = absl::StrCat("block", i), .rows = 0, .cols = 0});
  const BundleBinding binding{manifest_sha256_, 1, Status().rounds[0].question_sha256};
  EXPECT_THAT(Submit("south", UploadOf(binding, {{"south/s1", Summary::Zero(many)}})),
              StatusIs(Code::kDataLoss, HasSubstr("header is too large")));
}

TEST_F(DeskTest, Upload_OtherSitesAnswer) {
  StartDemo();
  EXPECT_THAT(Submit("south", AnswerOf("north")), StatusIs(Code::kInvalidArgument, HasSubstr("south/s1")));
  EXPECT_THAT(Status().rounds[0].answers, IsEmpty());
}

TEST_F(DeskTest, Upload_NotOnRoster) {
  StartDemo();
  EXPECT_THAT(Submit("west", AnswerOf("south")), StatusIs(Code::kPermissionDenied, HasSubstr("'west'")));
}

TEST_F(DeskTest, Upload_WrongForm) {
  StartDemo();
  const BundleBinding binding{manifest_sha256_, 1, Status().rounds[0].question_sha256};
  const Summary wrong =
      Summary::Zero({{.name = "n", .kind = BlockKind::kCount, .rows = 1, .cols = 1}, {.name = "sum", .rows = 1, .cols = 3}});
  const Upload upload = UploadOf(binding, {{"south/s1", wrong}});
  EXPECT_THAT(Submit("south", upload),
              StatusIs(Code::kInvalidArgument, AllOf(HasSubstr("'sum'"), Not(HasSubstr(folder_.path())))));
  ASSERT_OK_AND_ASSIGN(const v1::UploadState state, desk_->GetUpload("south", upload.header));
  EXPECT_EQ(state.received(), 0u);
}

TEST_F(DeskTest, Upload_AnotherQuestion) {
  StartDemo();
  Upload upload = AnswerOf("south");
  ASSERT_OK_AND_ASSIGN(const Bundle bundle, OpenBundle(folder_ / "answer", v1::BUNDLE_KIND_ANSWER, {"", 0, ""}));
  upload = UploadOf({manifest_sha256_, 1, std::string(64, '0')}, bundle.parts);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kInvalidArgument, Not(HasSubstr(folder_.path()))));
}

TEST_F(DeskTest, Upload_RoundNotAsked) {
  StartDemo();
  Upload upload = AnswerOf("south");
  upload.header.set_round(2);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kFailedPrecondition, HasSubstr("round 2")));
  upload.header.set_round(0);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kFailedPrecondition, HasSubstr("round 0")));
}

TEST_F(DeskTest, Upload_OtherBytesThanItsDigest) {
  StartDemo();
  Upload upload = AnswerOf("south");
  const std::string good = upload.bytes;
  upload.bytes.back() = static_cast<char>(upload.bytes.back() ^ 1);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kDataLoss, HasSubstr("again")));
  upload.bytes = good;
  EXPECT_OK(Submit("south", upload));
}

TEST_F(DeskTest, Upload_NotABundle) {
  StartDemo();
  Upload upload = AnswerOf("south");
  upload.bytes = "garbage";
  upload.header.mutable_bundle()->set_sha256(Sha256Hex(upload.bytes));
  upload.header.mutable_bundle()->set_size(upload.bytes.size());
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kDataLoss, Not(HasSubstr(folder_.path()))));
}

TEST_F(DeskTest, Upload_SizeThatNoAnswerHas) {
  StartDemo();
  Upload upload = AnswerOf("south");
  upload.header.mutable_bundle()->set_size(std::uint64_t{1} << 60);
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kInvalidArgument, HasSubstr("bytes")));
  upload.header.mutable_bundle()->set_size(10);  // chunks beyond it
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kInvalidArgument, HasSubstr("beyond")));
  upload.header.mutable_bundle()->set_sha256("../../x");
  EXPECT_THAT(Submit("south", upload), StatusIs(Code::kInvalidArgument, HasSubstr("64")));
}

}  // namespace
}  // namespace attune::testing

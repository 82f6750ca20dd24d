// SPDX-License-Identifier: Apache-2.0
#include "common/base/status.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;

TEST(WithContext, KeepsCodeAndPayload) {
  absl::Status status = absl::NotFoundError("no such file");
  status.SetPayload("kind", absl::Cord("detail"));
  const absl::Status with = WithContext(status, "batch 'A'");
  EXPECT_THAT(with, StatusIs(absl::StatusCode::kNotFound, "batch 'A': no such file"));
  EXPECT_EQ(with.GetPayload("kind"), absl::Cord("detail"));
  EXPECT_OK(WithContext(absl::OkStatus(), "context"));
}

TEST(ExitCodeOf, EveryCode) {
  const std::pair<absl::StatusCode, ExitCode> cases[] = {
      {absl::StatusCode::kOk, ExitCode::kOk},
      {absl::StatusCode::kInvalidArgument, ExitCode::kDataCheck},
      {absl::StatusCode::kFailedPrecondition, ExitCode::kDataCheck},
      {absl::StatusCode::kNotFound, ExitCode::kDataCheck},
      {absl::StatusCode::kOutOfRange, ExitCode::kDataCheck},
      {absl::StatusCode::kPermissionDenied, ExitCode::kRefusedByPolicy},
      {absl::StatusCode::kUnauthenticated, ExitCode::kPeerOrNetwork},
      {absl::StatusCode::kUnavailable, ExitCode::kPeerOrNetwork},
      {absl::StatusCode::kDeadlineExceeded, ExitCode::kPeerOrNetwork},
      {absl::StatusCode::kAborted, ExitCode::kPeerOrNetwork},
      {absl::StatusCode::kAlreadyExists, ExitCode::kOutputExists},
      {absl::StatusCode::kInternal, ExitCode::kOther},
      {absl::StatusCode::kDataLoss, ExitCode::kOther},
      {absl::StatusCode::kUnknown, ExitCode::kOther},
      {absl::StatusCode::kResourceExhausted, ExitCode::kOther},
  };
  for (const auto& [code, exit_code] : cases) EXPECT_EQ(ExitCodeOf(absl::Status(code, "")), exit_code) << code;
}

absl::Status ReturnIfError(const absl::Status& status, bool* reached) {
  ATTUNE_RETURN_IF_ERROR(status);
  *reached = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Doubled(const absl::StatusOr<int>& value) {
  ATTUNE_ASSIGN_OR_RETURN(const int number, value);
  return 2 * number;
}

TEST(Macros, ReturnEarlyOnErrorOnly) {
  bool reached = false;
  EXPECT_THAT(ReturnIfError(absl::DataLossError("x"), &reached), StatusIs(absl::StatusCode::kDataLoss, "x"));
  EXPECT_FALSE(reached);
  EXPECT_OK(ReturnIfError(absl::OkStatus(), &reached));
  EXPECT_TRUE(reached);
  EXPECT_THAT(Doubled(absl::InternalError("y")), StatusIs(absl::StatusCode::kInternal, "y"));
  EXPECT_EQ(*Doubled(21), 42);
}

}  // namespace
}  // namespace attune

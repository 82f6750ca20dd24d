// SPDX-License-Identifier: Apache-2.0
#include "common/base/printable.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

TEST(Printable, EscapesControlCharactersAlone) {
  absl::Status status = absl::DataLossError("Z\xc3\xbcrich \x1b[2J\nroot:\t\x7f");
  status.SetPayload("attune/local", absl::Cord("x"));
  const absl::Status shown = Printable(status);
  EXPECT_THAT(shown, testing::StatusIs(absl::StatusCode::kDataLoss, "Z\xc3\xbcrich \\x1b[2J\\x0aroot:\\x09\\x7f"));
  EXPECT_TRUE(shown.GetPayload("attune/local").has_value());
  EXPECT_EQ(Printable(absl::OkStatus()), absl::OkStatus());
  EXPECT_EQ(Printable(absl::InternalError("plain")), absl::InternalError("plain"));
}

}  // namespace
}  // namespace attune

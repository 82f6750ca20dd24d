// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desk_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(DeskAudit, Called_OncePerOutcome) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<DeskAudit> audit, DeskAudit::Open(folder.path()));
  const absl::Status refused = absl::PermissionDeniedError("not on the roster");
  for (int i = 0; i < 3; ++i) audit->Called("north", "Next", "demo", absl::OkStatus());
  audit->Called("south", "Next", "demo", absl::OkStatus());
  for (int i = 0; i < 2; ++i) audit->Called("north", "Next", "demo", refused);
  audit->Called("north", "Next", "demo", absl::OkStatus());
  ASSERT_OK(audit->Commanded("study start demo", absl::OkStatus()));
  // Another process goes on where this one stopped.
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<DeskAudit> other, DeskAudit::Open(folder.path()));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, other->log().Lines());
  ASSERT_THAT(lines, SizeIs(5));
  EXPECT_THAT(lines[0], HasSubstr(R"("event":"call","fields":{"site":"north","call":"Next","subject":"demo","code":"OK"})"));
  EXPECT_THAT(lines[2], AllOf(HasSubstr(R"("event":"refused")"), HasSubstr("not on the roster")));
  EXPECT_THAT(lines[4], HasSubstr("study start demo"));
}

}  // namespace
}  // namespace attune::testing

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::TempFolder;

TEST(SiteAudit, EveryEventHasItsLine) {
  const TempFolder folder;
  const Home home(folder.path());
  HeldManifest held;
  held.manifest.mutable_config()->set_study("demo");
  held.sha256 = "abc";
  v1::AgentIdentity identity;
  identity.set_site("oslo");
  identity.set_folder("/stick");
  ASSERT_OK_AND_ASSIGN(SiteAudit audit, SiteAudit::Open(home));
  ASSERT_OK(audit.Enrolled(identity, "AA:BB"));
  ASSERT_OK(audit.Renewed("CC:DD", 365));
  ASSERT_OK(audit.Registered("demo", 2, 7));
  ASSERT_OK(audit.Previewed("demo", "abc"));
  ASSERT_OK(audit.Approved(held, "missing values"));
  ASSERT_OK(audit.Asked(held, 1, "def"));
  ASSERT_OK(
      audit.Released(held, {.round = 1, .attempt = 2, .step = 3, .bundle_sha256 = "123", .bytes = 10, .rules = "all passed"}));
  ASSERT_OK(audit.Refused("demo", "min_subjects", "batch s1 has 7"));
  ASSERT_OK(audit.Overridden("demo", "release ledger", "agreed by the board"));
  ASSERT_OK(audit.Failed("demo", absl::UnavailableError("no way out")));
  ASSERT_OK(audit.Harmonized(held, "456"));
  ASSERT_OK(audit.ApprovalRevoked("demo", "abc"));
  ASSERT_OK_AND_ASSIGN(SiteAudit again, SiteAudit::Open(home));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, again.log().Lines());
  ASSERT_THAT(lines, SizeIs(12));
  EXPECT_THAT(lines[0], HasSubstr(R"("site":"oslo","certificate":"AA:BB","way":"folder")"));
  EXPECT_THAT(lines[6],
              HasSubstr(R"("event":"release","fields":{"study":"demo","manifest":"abc","round":"1","attempt":"2","step":"3",)"
                        R"("bundle":"123","bytes":"10","rules":"all passed"})"));
  EXPECT_THAT(lines[7], HasSubstr(R"("rule":"min_subjects","detail":"batch s1 has 7")"));
  EXPECT_THAT(lines[9], HasSubstr(R"("code":"UNAVAILABLE","message":"no way out")"));
}

}  // namespace
}  // namespace attune

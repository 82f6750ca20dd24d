// SPDX-License-Identifier: Apache-2.0
#include "common/security/server_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/security/certificates.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

TEST(ServerCertificate, OnlyTheCoordinatorsCounts) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate authority, MakeAuthority("net"));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate server, MakeServerCertificate(authority, "net", {"host"}, 1));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest request, MakeKeyAndRequest("north"));
  ASSERT_OK_AND_ASSIGN(const std::string site, SignSiteRequest(authority, request.request_pem, SiteUri("net", "north"), 1));
  EXPECT_OK(CheckServerCertificate(server.certificate_pem));
  for (const std::string& other : {site, authority.certificate_pem}) {
    EXPECT_THAT(CheckServerCertificate(other),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not that of a coordinator")));
  }
  EXPECT_THAT(CheckServerCertificate("garbage"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate")));
}

}  // namespace
}  // namespace attune

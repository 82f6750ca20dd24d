// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <string>

#include "common/base/digest.h"
#include "common/security/certificates.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

TEST(SiteUri, RoundTrip) {
  EXPECT_EQ(SiteUri("enigma", "north"), "attune://enigma/site/north");
  ASSERT_OK_AND_ASSIGN(const SiteIdentity identity, ParseSiteUri("attune://enigma/site/north"));
  EXPECT_EQ(identity.consortium, "enigma");
  EXPECT_EQ(identity.site, "north");
}

TEST(SiteUri, Parse_OtherForms) {
  for (const char* uri :
       {"", "attune://", "attune://c/site/", "attune:///site/s", "attune://c/site/s/", "attune://c/admin/s", "http://c/site/s",
        "attune://c/site/a b", "attune://c/site/../s", "ATTUNE://c/site/s", " attune://c/site/s", "attune://c/site/s\n"}) {
    EXPECT_THAT(ParseSiteUri(uri), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("attune://<consortium>/site/<site>")))
        << uri;
  }
}

TEST(PeerUri, SitesAndAdministrators) {
  ASSERT_OK_AND_ASSIGN(const PeerIdentity site, ParsePeerUri(SiteUri("net", "north")));
  EXPECT_EQ(site.role, Role::kSite);
  EXPECT_EQ(site.name, "north");
  ASSERT_OK_AND_ASSIGN(const PeerIdentity admin, ParsePeerUri(AdminUri("net", "ada")));
  EXPECT_EQ(admin.role, Role::kAdmin);
  EXPECT_EQ(admin.consortium, "net");
  EXPECT_EQ(ParseSiteUri(AdminUri("net", "ada")).status().code(), absl::StatusCode::kUnauthenticated);
  for (const char* uri :
       {"", "attune://net/root/ada", "attune://net/admin/", "attune://net/admin/a/b", "https://net/admin/ada"}) {
    EXPECT_EQ(ParsePeerUri(uri).status().code(), absl::StatusCode::kUnauthenticated) << uri;
  }
}

TEST(Fingerprint, Same_IgnoresCaseColonsAndBlanks) {
  const std::string plain = Sha256Hex("x");
  std::string shown;
  for (std::size_t i = 0; i < plain.size(); i += 2) {
    shown += (i == 0 ? "" : ":") +
             std::string{static_cast<char>(std::toupper(plain[i])), static_cast<char>(std::toupper(plain[i + 1]))};
  }
  EXPECT_TRUE(SameFingerprint(plain, shown));
  EXPECT_TRUE(SameFingerprint(" " + shown + "\n", plain));
  EXPECT_FALSE(SameFingerprint(plain, Sha256Hex("y")));
  EXPECT_FALSE(SameFingerprint(plain, plain.substr(1)));
  EXPECT_FALSE(SameFingerprint("", ""));
  EXPECT_FALSE(SameFingerprint("::", ""));
}

TEST(Token, Make_Differ) {
  ASSERT_OK_AND_ASSIGN(const std::string a, MakeToken());
  ASSERT_OK_AND_ASSIGN(const std::string b, MakeToken());
  EXPECT_TRUE(IsSha256Hex(a));  // 64 hexadecimal digits
  EXPECT_NE(a, b);
}

TEST(Secrets, Equal) {
  EXPECT_TRUE(SecretsEqual("abc", "abc"));
  EXPECT_FALSE(SecretsEqual("abc", "abd"));
  EXPECT_FALSE(SecretsEqual("abc", "ab"));
  EXPECT_FALSE(SecretsEqual("", "a"));
}

}  // namespace
}  // namespace attune

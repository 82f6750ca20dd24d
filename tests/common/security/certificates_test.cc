// SPDX-License-Identifier: Apache-2.0
#include "common/security/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/security/openssl_handles.h"
#include "common/security/signature.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

openssl::Certificate Load(const std::string& pem) {
  return openssl::Certificate(PEM_read_bio_X509(openssl::ReadFrom(pem).get(), nullptr, nullptr, nullptr));
}

// Whether OpenSSL trusts `pem` for `purpose` when it trusts `authority_pem` alone; X509_V_OK or why not.
int Verify(const std::string& authority_pem, const std::string& pem, int purpose, const char* host = nullptr) {
  const openssl::Certificate authority = Load(authority_pem);
  const openssl::Certificate certificate = Load(pem);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, authority.get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
  if (host != nullptr) X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), host, 0);
  const int code = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return code;
}

// The extension as `openssl x509 -text` shows it.
std::string ExtensionOf(const std::string& pem, int nid) {
  const openssl::Certificate certificate = Load(pem);
  const int at = X509_get_ext_by_NID(certificate.get(), nid, -1);
  if (at < 0) return "absent";
  X509_EXTENSION* extension = X509_get_ext(certificate.get(), at);
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  X509V3_EXT_print(bio.get(), extension, 0, 0);
  return (X509_EXTENSION_get_critical(extension) ? "critical " : "") + openssl::TakeText(bio);
}

// A request for a key of another kind than ours.
std::string RequestFor(EVP_PKEY* key, const EVP_MD* digest) {
  const openssl::Key owned(key);
  const openssl::Request request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key);
  X509_REQ_sign(request.get(), key, digest);
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return openssl::TakeText(bio);
}

class CertificatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto authority = MakeAuthority("enigma");
    ASSERT_OK(authority);
    authority_ = *std::move(authority);
  }
  absl::StatusOr<std::string> SignNew(const std::string& site) {
    auto request = MakeKeyAndRequest(site);
    if (!request.ok()) return request.status();
    return SignSiteRequest(authority_, request->request_pem, SiteUri("enigma", site), 365);
  }

  KeyAndCertificate authority_;
};

TEST_F(CertificatesTest, Authority_Extensions) {
  EXPECT_EQ(ExtensionOf(authority_.certificate_pem, NID_basic_constraints), "critical CA:TRUE, pathlen:0");
  EXPECT_EQ(ExtensionOf(authority_.certificate_pem, NID_key_usage), "critical Certificate Sign, CRL Sign");
  EXPECT_THAT(authority_.key_pem, HasSubstr("BEGIN PRIVATE KEY"));
  ASSERT_OK_AND_ASSIGN(const int days, DaysLeft(authority_.certificate_pem));
  EXPECT_NEAR(days, 3652, 1);
}

TEST_F(CertificatesTest, Server_ChainsAndNamesItsHosts) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate server,
                       MakeServerCertificate(authority_, "enigma", {"localhost", "hub.example.org", "127.0.0.1", "::1"}, 30));
  EXPECT_EQ(Verify(authority_.certificate_pem, server.certificate_pem, X509_PURPOSE_SSL_SERVER, "hub.example.org"), X509_V_OK);
  EXPECT_EQ(Verify(authority_.certificate_pem, server.certificate_pem, X509_PURPOSE_SSL_SERVER, "evil.example.org"),
            X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_NE(Verify(authority_.certificate_pem, server.certificate_pem, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(ExtensionOf(server.certificate_pem, NID_subject_alt_name),
            "DNS:localhost, DNS:hub.example.org, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  EXPECT_EQ(ExtensionOf(server.certificate_pem, NID_basic_constraints), "critical CA:FALSE");
  EXPECT_EQ(ExtensionOf(server.certificate_pem, NID_ext_key_usage), "TLS Web Server Authentication");
  ASSERT_OK_AND_ASSIGN(const int days, DaysLeft(server.certificate_pem));
  EXPECT_NEAR(days, 29, 1);
}

TEST_F(CertificatesTest, Server_BadHostsAndDays) {
  for (const char* host : {"", "hub:7443", "a,DNS:b", "https://hub", "-x", "*", "a b"}) {
    EXPECT_THAT(MakeServerCertificate(authority_, "enigma", {host}, 30),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a host")));
  }
  EXPECT_THAT(MakeServerCertificate(authority_, "enigma", {}, 30),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host")));
  for (const int days : {0, -1, 1'000'000}) {
    EXPECT_THAT(MakeServerCertificate(authority_, "enigma", {"h"}, days),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("days")));
  }
  EXPECT_THAT(MakeAuthority("a/b"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("consortium")));
  EXPECT_THAT(MakeKeyAndRequest("a/b"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("site")));
}

TEST_F(CertificatesTest, Server_HostsOfAndSameKeyAgain) {
  const std::vector<std::string> hosts = {"coordinator.example", "10.1.2.3", "2001:db8::1"};
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate first, MakeServerCertificate(authority_, "net", hosts, 10));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> found, HostsOf(first.certificate_pem));
  EXPECT_EQ(found, hosts);
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate again, MakeServerCertificate(authority_, "net", hosts, 10, first.key_pem));
  EXPECT_EQ(*KeyFingerprintOf(again.certificate_pem), *KeyFingerprintOf(first.certificate_pem));
  EXPECT_NE(again.certificate_pem, first.certificate_pem);
  EXPECT_THAT(MakeServerCertificate(authority_, "net", hosts, 10, "garbage"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("private key")));
  EXPECT_THAT(HostsOf("garbage"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("PEM")));
}

TEST_F(CertificatesTest, Request_ForAKeyThatThereIs) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest made, MakeKeyAndRequest("north"));
  ASSERT_OK_AND_ASSIGN(const std::string again, MakeRequest(made.key_pem, "north"));
  const std::string uri = SiteUri("net", "north");
  ASSERT_OK_AND_ASSIGN(const std::string first_pem, SignSiteRequest(authority_, made.request_pem, uri, 10));
  ASSERT_OK_AND_ASSIGN(const std::string second_pem, SignSiteRequest(authority_, again, uri, 10));
  EXPECT_EQ(*KeyFingerprintOf(first_pem), *KeyFingerprintOf(second_pem));
  EXPECT_THAT(MakeRequest("garbage", "north"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("private key")));
  EXPECT_THAT(MakeRequest(made.key_pem, "no/slash"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'no/slash'")));
}

TEST_F(CertificatesTest, Admin_ItsUriAndNoOther) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest made, MakeKeyAndRequest("ada"));
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignAdminRequest(authority_, made.request_pem, AdminUri("net", "ada"), 10));
  EXPECT_EQ(Verify(authority_.certificate_pem, pem, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(*UriOf(pem), "attune://net/admin/ada");
  // Neither signs what is the other's.
  EXPECT_THAT(SignAdminRequest(authority_, made.request_pem, SiteUri("net", "ada"), 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("role")));
  EXPECT_THAT(SignSiteRequest(authority_, made.request_pem, AdminUri("net", "ada"), 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("role")));
}

TEST_F(CertificatesTest, ExpiryOf_AgreesWithDaysLeft) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate server, MakeServerCertificate(authority_, "net", {"a.example"}, 10));
  ASSERT_OK_AND_ASSIGN(const absl::Time ends, ExpiryOf(server.certificate_pem));
  EXPECT_LT(absl::AbsDuration(ends - absl::Now() - absl::Hours(240)), absl::Minutes(1));
  EXPECT_THAT(ExpiryOf("garbage"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("PEM")));
}

TEST_F(CertificatesTest, Site_ChainsWithItsUriOnly) {
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignNew("north"));
  EXPECT_EQ(Verify(authority_.certificate_pem, pem, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_NE(Verify(authority_.certificate_pem, pem, X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(ExtensionOf(pem, NID_subject_alt_name), "URI:attune://enigma/site/north");
  EXPECT_EQ(ExtensionOf(pem, NID_basic_constraints), "critical CA:FALSE");
  EXPECT_EQ(ExtensionOf(pem, NID_ext_key_usage), "TLS Web Client Authentication");
}

TEST_F(CertificatesTest, Site_OtherAuthorityOfTheSameName) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("enigma"));
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignNew("north"));
  EXPECT_NE(Verify(other.certificate_pem, pem, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST_F(CertificatesTest, Site_CannotSignOthers) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest site, MakeKeyAndRequest("north"));
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignSiteRequest(authority_, site.request_pem, SiteUri("enigma", "north"), 10));
  EXPECT_THAT(
      SignSiteRequest({.key_pem = site.key_pem, .certificate_pem = pem}, site.request_pem, SiteUri("enigma", "south"), 10),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("may not sign")));
}

TEST_F(CertificatesTest, Site_NoLongerThanTheAuthority) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest site, MakeKeyAndRequest("north"));
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignSiteRequest(authority_, site.request_pem, SiteUri("enigma", "north"), 3653));
  EXPECT_LE(ASN1_TIME_compare(X509_get0_notAfter(Load(pem).get()), X509_get0_notAfter(Load(authority_.certificate_pem).get())),
            0);
}

TEST_F(CertificatesTest, Serials_PositiveAndDifferent) {
  std::set<std::string> serials;
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string pem, SignNew("north"));
    const openssl::Certificate certificate = Load(pem);
    const openssl::BigNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate.get()), nullptr));
    EXPECT_FALSE(BN_is_negative(number.get()));
    EXPECT_EQ(BN_num_bits(number.get()), 127);
    char* text = BN_bn2hex(number.get());
    serials.insert(text);
    OPENSSL_free(text);
  }
  EXPECT_EQ(serials.size(), 20u);
}

TEST_F(CertificatesTest, Request_TamperedOrMalformed) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest site, MakeKeyAndRequest("north"));
  const std::string uri = SiteUri("enigma", "north");
  int refused = 0;
  for (std::size_t i = 0; i < site.request_pem.size(); i += 7) {
    std::string pem = site.request_pem;
    pem[i] = pem[i] == 'A' ? 'B' : 'A';
    const auto signed_pem = SignSiteRequest(authority_, pem, uri, 10);
    if (!signed_pem.ok()) {
      EXPECT_EQ(signed_pem.status().code(), absl::StatusCode::kInvalidArgument) << signed_pem.status();
      ++refused;
    }
  }
  EXPECT_GE(refused, 40);  // all but what PEM does not read
  for (const std::string& pem : {std::string(), std::string("text"), site.key_pem, authority_.certificate_pem}) {
    EXPECT_THAT(SignSiteRequest(authority_, pem, uri, 10),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected PEM")));
  }
  EXPECT_THAT(SignSiteRequest(authority_, std::string(70'000, 'A'), uri, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
  EXPECT_THAT(SignSiteRequest(authority_, site.request_pem, "URI:x,DNS:y", 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("identity")));
}

TEST_F(CertificatesTest, Request_KindsOfKeys) {
  const std::string uri = SiteUri("enigma", "north");
  EXPECT_OK(SignSiteRequest(authority_, RequestFor(EVP_EC_gen("P-384"), EVP_sha384()), uri, 10));
  EXPECT_OK(SignSiteRequest(authority_, RequestFor(EVP_RSA_gen(2048), EVP_sha256()), uri, 10));
  EXPECT_THAT(SignSiteRequest(authority_, RequestFor(EVP_RSA_gen(1024), EVP_sha256()), uri, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024 bits")));
  EXPECT_THAT(SignSiteRequest(authority_, RequestFor(EVP_EC_gen("secp256k1"), EVP_sha256()), uri, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("P-256 or P-384")));
  EXPECT_THAT(SignSiteRequest(authority_, RequestFor(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), nullptr), uri, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ED25519")));
}

TEST_F(CertificatesTest, Authority_KeyOfAnother) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("enigma"));
  EXPECT_THAT(
      MakeServerCertificate({.key_pem = other.key_pem, .certificate_pem = authority_.certificate_pem}, "enigma", {"h"}, 1),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("do not belong together")));
}

TEST(Wipe, ZerosAndEmpties) {
  std::string secret(100, 's');  // longer than what a string keeps within itself
  const char* const memory = secret.data();
  Wipe(secret);
  EXPECT_TRUE(secret.empty());
  // The string keeps its memory: what was there can be looked at.
  ASSERT_EQ(secret.data(), memory);
  secret.resize(1);
  EXPECT_EQ(std::count(memory + 1, memory + 100, '\0'), 99);
}

TEST_F(CertificatesTest, Fingerprint_AsOpensslShowsIt) {
  ASSERT_OK_AND_ASSIGN(const std::string fingerprint, FingerprintOf(authority_.certificate_pem));
  EXPECT_THAT(fingerprint, MatchesRegex("([0-9A-F][0-9A-F]:)+[0-9A-F][0-9A-F]"));
  const std::string base64 = absl::StrReplaceAll(
      authority_.certificate_pem, {{"-----BEGIN CERTIFICATE-----", ""}, {"-----END CERTIFICATE-----", ""}, {"\n", ""}});
  std::string der;
  ASSERT_TRUE(absl::Base64Unescape(base64, &der));
  EXPECT_EQ(absl::AsciiStrToLower(absl::StrReplaceAll(fingerprint, {{":", ""}})), Sha256Hex(der));
  EXPECT_TRUE(SameFingerprint(fingerprint, Sha256Hex(der)));
  EXPECT_THAT(FingerprintOf("text"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate")));
  EXPECT_THAT(DaysLeft("text"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate")));
}

}  // namespace
}  // namespace attune

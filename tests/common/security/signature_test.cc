// SPDX-License-Identifier: Apache-2.0
#include "common/security/signature.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <string>

#include "common/base/digest.h"
#include "common/security/certificates.h"
#include "common/security/openssl_handles.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

struct Pair {
  std::string key;
  std::string certificate;
};

class SignatureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto authority = MakeAuthority("enigma");
    ASSERT_OK(authority);
    authority_ = *std::move(authority);
    north_ = NewSite("north");
  }
  Pair NewSite(const std::string& site) {
    auto request = MakeKeyAndRequest(site);
    EXPECT_OK(request);
    auto certificate = SignSiteRequest(authority_, request->request_pem, SiteUri("enigma", site), 365);
    EXPECT_OK(certificate);
    return {request->key_pem, *certificate};
  }
  // The certificate with something changed, signed by the authority as before.
  template <typename Change>
  std::string Resigned(const std::string& pem, Change change) {
    const openssl::Certificate certificate(PEM_read_bio_X509(openssl::ReadFrom(pem).get(), nullptr, nullptr, nullptr));
    const openssl::Key key(PEM_read_bio_PrivateKey(openssl::ReadFrom(authority_.key_pem).get(), nullptr, nullptr, nullptr));
    change(certificate.get());
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    const openssl::Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate.get());
    return openssl::TakeText(bio);
  }
  static void SetNames(X509* certificate, const char* names) {
    X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1)));
    if (names == nullptr) return;
    const openssl::Extension extension(X509V3_EXT_nconf_nid(nullptr, nullptr, NID_subject_alt_name, names));
    X509_add_ext(certificate, extension.get(), -1);
  }

  KeyAndCertificate authority_;
  Pair north_;
};

TEST_F(SignatureTest, Sign_HoldsForItsBytesPurposeAndKeyOnly) {
  ASSERT_OK_AND_ASSIGN(const std::string signature, Sign(north_.key, "attune test", std::string("a\0b", 3)));
  EXPECT_OK(VerifySignature(north_.certificate, "attune test", std::string("a\0b", 3), signature));
  const auto refused = StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("attune"));
  EXPECT_THAT(VerifySignature(north_.certificate, "attune test", std::string("a\0c", 3), signature), refused);
  EXPECT_THAT(VerifySignature(north_.certificate, "attune other", std::string("a\0b", 3), signature), refused);
  EXPECT_THAT(VerifySignature(NewSite("north").certificate, "attune test", std::string("a\0b", 3), signature), refused);
  EXPECT_THAT(VerifySignature(north_.certificate, "attune test", std::string("a\0b", 3), ""), refused);
  EXPECT_THAT(VerifySignature(north_.certificate, "attune test", std::string("a\0b", 3), std::string(5000, 'x')), refused);
  std::string changed = signature;
  changed[10] = static_cast<char>(changed[10] ^ 1);
  EXPECT_THAT(VerifySignature(north_.certificate, "attune test", std::string("a\0b", 3), changed), refused);
}

// The zero byte keeps the border: one letter more in the purpose, one less in the bytes, is another message.
TEST_F(SignatureTest, Sign_PurposeEndsAtItsZeroByte) {
  ASSERT_OK_AND_ASSIGN(const std::string signature, Sign(north_.key, "attune ab", "c"));
  EXPECT_FALSE(VerifySignature(north_.certificate, "attune a", "bc", signature).ok());
  EXPECT_FALSE(VerifySignature(north_.certificate, "attune abc", "", signature).ok());
}

TEST_F(SignatureTest, Sign_Rsa) {
  const openssl::Key key(EVP_RSA_gen(2048));
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  const std::string certificate = Resigned(north_.certificate, [&](X509* c) { X509_set_pubkey(c, key.get()); });
  ASSERT_OK_AND_ASSIGN(const std::string signature, Sign(openssl::TakeText(bio), "attune test", "bytes"));
  EXPECT_OK(VerifySignature(certificate, "attune test", "bytes", signature));
  EXPECT_FALSE(VerifySignature(certificate, "attune test", "byte", signature).ok());
}

TEST_F(SignatureTest, BadInput) {
  EXPECT_THAT(Sign("no key", "p", "b"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("private key")));
  EXPECT_THAT(Sign(north_.certificate, "p", "b"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("private key")));
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate"));
  EXPECT_THAT(VerifySignature("none", "p", "b", "s"), refused);
  EXPECT_THAT(KeyFingerprintOf(north_.key), refused);
  EXPECT_THAT(CheckIssuedBy("none", authority_.certificate_pem), refused);
  EXPECT_THAT(CheckIssuedBy(north_.certificate, std::string(100'000, '-')), refused);
  EXPECT_THAT(UriOf(""), refused);
}

TEST_F(SignatureTest, KeyFingerprintOf_IsOfTheKeyNotOfTheCertificate) {
  ASSERT_OK_AND_ASSIGN(const std::string fingerprint, KeyFingerprintOf(north_.certificate));
  EXPECT_TRUE(IsSha256Hex(fingerprint));
  const std::string renewed = Resigned(north_.certificate, [](X509* c) { ASN1_INTEGER_set(X509_get_serialNumber(c), 77); });
  ASSERT_NE(renewed, north_.certificate);
  ASSERT_OK_AND_ASSIGN(const std::string of_renewed, KeyFingerprintOf(renewed));
  EXPECT_EQ(of_renewed, fingerprint);
  ASSERT_OK_AND_ASSIGN(const std::string of_other, KeyFingerprintOf(NewSite("north").certificate));
  EXPECT_NE(of_other, fingerprint);
}

TEST_F(SignatureTest, KeyFingerprintOf_IsTheDigestOfSubjectPublicKeyInfo) {
  const openssl::Certificate certificate(
      PEM_read_bio_X509(openssl::ReadFrom(north_.certificate).get(), nullptr, nullptr, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_get0_pubkey(certificate.get()), &der);
  const std::string bytes(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  ASSERT_OK_AND_ASSIGN(const std::string fingerprint, KeyFingerprintOf(north_.certificate));
  EXPECT_EQ(fingerprint, Sha256Hex(bytes));
}

TEST_F(SignatureTest, CheckIssuedBy_ThisAuthorityOnly) {
  EXPECT_OK(CheckIssuedBy(north_.certificate, authority_.certificate_pem));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("enigma"));
  EXPECT_THAT(CheckIssuedBy(north_.certificate, other.certificate_pem),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("authority")));
  EXPECT_THAT(CheckIssuedBy(north_.certificate, NewSite("south").certificate),
              StatusIs(absl::StatusCode::kUnauthenticated, ::testing::_));
}

TEST_F(SignatureTest, CheckIssuedBy_Expired) {
  const std::string expired = Resigned(north_.certificate, [](X509* c) {
    X509_gmtime_adj(X509_getm_notBefore(c), -7200);
    X509_gmtime_adj(X509_getm_notAfter(c), -3600);
  });
  EXPECT_THAT(CheckIssuedBy(expired, authority_.certificate_pem),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  EXPECT_OK(CheckIssuedBy(expired, authority_.certificate_pem, /*at_any_time=*/true));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("enigma"));
  EXPECT_THAT(CheckIssuedBy(expired, other.certificate_pem, true), StatusIs(absl::StatusCode::kUnauthenticated, ::testing::_));
}

TEST_F(SignatureTest, UriOf_ExactlyOne) {
  ASSERT_OK_AND_ASSIGN(const std::string uri, UriOf(north_.certificate));
  EXPECT_EQ(uri, "attune://enigma/site/north");
  for (const char* names : {static_cast<const char*>(nullptr), "DNS:north", "URI:attune://a/site/b,URI:attune://a/site/c"}) {
    EXPECT_THAT(UriOf(Resigned(north_.certificate, [&](X509* c) { SetNames(c, names); })),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expected one")));
  }
  ASSERT_OK_AND_ASSIGN(
      const std::string beside_a_host,
      UriOf(Resigned(north_.certificate, [](X509* c) { SetNames(c, "DNS:north,URI:attune://enigma/site/north"); })));
  EXPECT_EQ(beside_a_host, uri);
}

}  // namespace
}  // namespace attune

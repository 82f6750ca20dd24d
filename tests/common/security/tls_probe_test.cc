// SPDX-License-Identifier: Apache-2.0
//
// Against a TLS server in memory: no sockets, no threads.
#include "common/security/tls_probe.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>

#include "absl/time/clock.h"
#include "common/security/certificates.h"
#include "common/security/openssl_handles.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;

openssl::Certificate Parse(const std::string& pem) {
  return openssl::Certificate(PEM_read_bio_X509(openssl::ReadFrom(pem).get(), nullptr, nullptr, nullptr));
}
openssl::Key ParseKey(const std::string& pem) {
  return openssl::Key(PEM_read_bio_PrivateKey(openssl::ReadFrom(pem).get(), nullptr, nullptr, nullptr));
}

int ChooseHttp2(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered, unsigned int, void*) {
  *chosen = offered + 1;
  *size = offered[0];
  return SSL_TLSEXT_ERR_OK;
}

class TlsServer {
 public:
  TlsServer(const KeyAndCertificate& own, int newest, bool http2) : context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_set_security_level(context_.get(), 0);
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), newest);
    SSL_CTX_use_certificate(context_.get(), Parse(own.certificate_pem).get());
    SSL_CTX_use_PrivateKey(context_.get(), ParseKey(own.key_pem).get());
    if (http2) SSL_CTX_set_alpn_select_cb(context_.get(), ChooseHttp2, nullptr);
    session_.reset(SSL_new(context_.get()));
    SSL_set_bio(session_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(session_.get()), -1);
    SSL_set_accept_state(session_.get());
  }

  absl::Status Take(absl::string_view bytes) {
    BIO_write(SSL_get_rbio(session_.get()), bytes.data(), static_cast<int>(bytes.size()));
    SSL_do_handshake(session_.get());
    ERR_clear_error();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Give() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(session_.get()), &data);
    if (size <= 0) return absl::UnavailableError("nothing more");
    std::string bytes(data, static_cast<std::size_t>(size));
    BIO_reset(SSL_get_wbio(session_.get()));
    return bytes;
  }

 private:
  std::unique_ptr<SSL_CTX, openssl::Free<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, openssl::Free<SSL_free>> session_;
};

class TlsProbeTest : public ::testing::Test {
 protected:
  absl::StatusOr<TlsPeer> Probe(const std::string& host, int newest = TLS1_3_VERSION, bool http2 = true) {
    TlsServer server(own_, newest, http2);
    return ProbeTls(
        ca_, host, [&](absl::string_view bytes) { return server.Take(bytes); }, [&] { return server.Give(); });
  }

  // The server's certificate with another time of validity, in seconds from now.
  void ShiftValidity(long from, long until) {
    const openssl::Certificate certificate = Parse(own_.certificate_pem);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), until);
    X509_sign(certificate.get(), ParseKey(authority_.key_pem).get(), EVP_sha256());
    const openssl::Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate.get());
    own_.certificate_pem = openssl::TakeText(bio);
  }

  const KeyAndCertificate authority_ = *MakeAuthority("c");
  KeyAndCertificate own_ = *MakeServerCertificate(authority_, "c", {"coordinator.example", "127.0.0.1"}, 10);
  std::string ca_ = authority_.certificate_pem;
};

TEST_F(TlsProbeTest, Trusted_ByNameAndByAddress) {
  for (const char* host : {"coordinator.example", "127.0.0.1"}) {
    ASSERT_OK_AND_ASSIGN(const TlsPeer peer, Probe(host));
    EXPECT_EQ(peer.trust, TlsTrust::kTrusted) << peer.reason;
    EXPECT_TRUE(peer.name_matches);
    EXPECT_TRUE(peer.modern);
    EXPECT_TRUE(peer.http2);
    EXPECT_EQ(peer.protocol, "TLSv1.3");
    EXPECT_FALSE(peer.cipher.empty());
    ASSERT_EQ(peer.chain.size(), 1u);
    EXPECT_EQ(peer.chain[0].subject, "O = c, CN = Attune coordinator");
    EXPECT_EQ(peer.chain[0].issuer, "O = c, CN = Attune certificate authority");
    EXPECT_NEAR(absl::ToDoubleHours(peer.chain[0].not_after - absl::Now()), 240, 1);
    EXPECT_LT(peer.chain[0].not_before, absl::Now());
  }
}

TEST_F(TlsProbeTest, AnotherHost) {
  for (const char* host : {"other.example", "127.0.0.2"}) {
    ASSERT_OK_AND_ASSIGN(const TlsPeer peer, Probe(host));
    EXPECT_EQ(peer.trust, TlsTrust::kTrusted);
    EXPECT_FALSE(peer.name_matches) << host;
  }
}

TEST_F(TlsProbeTest, AnotherAuthority_EvenOfTheSameName) {
  for (const char* name : {"c", "Inspection"}) {
    ca_ = MakeAuthority(name)->certificate_pem;
    ASSERT_OK_AND_ASSIGN(const TlsPeer peer, Probe("coordinator.example"));
    EXPECT_EQ(peer.trust, TlsTrust::kOtherAuthority) << peer.reason;
  }
}

TEST_F(TlsProbeTest, ExpiredOrNotYetValid) {
  ShiftValidity(-200, -100);
  ASSERT_OK_AND_ASSIGN(TlsPeer peer, Probe("coordinator.example"));
  EXPECT_EQ(peer.trust, TlsTrust::kExpired) << peer.reason;
  ShiftValidity(3600, 7200);
  ASSERT_OK_AND_ASSIGN(peer, Probe("coordinator.example"));
  EXPECT_EQ(peer.trust, TlsTrust::kNotYetValid) << peer.reason;
}

TEST_F(TlsProbeTest, OldVersionAndNoHttp2AreSeen) {
  ASSERT_OK_AND_ASSIGN(const TlsPeer peer, Probe("coordinator.example", TLS1_1_VERSION, false));
  EXPECT_FALSE(peer.modern);
  EXPECT_EQ(peer.protocol, "TLSv1.1");
  EXPECT_FALSE(peer.http2);
  ASSERT_OK_AND_ASSIGN(const TlsPeer newer, Probe("coordinator.example", TLS1_2_VERSION));
  EXPECT_TRUE(newer.modern);
}

TEST_F(TlsProbeTest, NotTls) {
  for (const char* answer : {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"}) {
    EXPECT_THAT(ProbeTls(
                    ca_, "h", [](absl::string_view) { return absl::OkStatus(); }, [&] { return std::string(answer); }),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("does not speak TLS")));
  }
}

TEST_F(TlsProbeTest, ErrorsOfTheConnectionAreReturned) {
  EXPECT_THAT(ProbeTls(
                  ca_, "h", [](absl::string_view) { return absl::UnavailableError("gone"); },
                  []() -> absl::StatusOr<std::string> { return "x"; }),
              StatusIs(absl::StatusCode::kUnavailable, "gone"));
  EXPECT_THAT(ProbeTls(
                  ca_, "h", [](absl::string_view) { return absl::OkStatus(); },
                  []() -> absl::StatusOr<std::string> { return absl::DeadlineExceededError("late"); }),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "late"));
}

TEST_F(TlsProbeTest, UnreadableAuthority) {
  ca_ = "no PEM";
  EXPECT_THAT(Probe("h"), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

}  // namespace
}  // namespace attune

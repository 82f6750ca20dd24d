// SPDX-License-Identifier: Apache-2.0
#include "common/security/tls_probe.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/security/openssl_handles.h"

namespace attune {
namespace {

using Context = std::unique_ptr<SSL_CTX, openssl::Free<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, openssl::Free<SSL_free>>;

// A chain of certificates is a few kilobytes; a peer may not keep us busy with more.
constexpr std::size_t kMaxHandshakeBytes = 256 << 10;
constexpr std::size_t kMaxNameBytes = 200;
// ALPN: the length, and the name of HTTP/2.
constexpr unsigned char kHttp2[] = {2, 'h', '2'};

bool IsIpAddress(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 || ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

absl::StatusOr<Context> MakeContext(absl::string_view ca_pem) {
  Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return openssl::Error("start TLS");
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof(kHttp2));
  const openssl::Bio bio = openssl::ReadFrom(ca_pem);
  int authorities = 0;
  for (;;) {
    const openssl::Certificate authority(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (authority == nullptr) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get()) == 1) ++authorities;
  }
  ERR_clear_error();
  if (authorities == 0) return absl::InvalidArgumentError("the authority is not readable, expected PEM text");
  return context;
}

std::string TextOf(const X509_NAME* name) {
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  // What the peer wrote goes to a terminal: control characters are escaped.
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  return openssl::TakeText(bio).substr(0, kMaxNameBytes);
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? absl::FromTM(parts, absl::UTCTimeZone()) : absl::InfinitePast();
}

PresentedCertificate Describe(const X509* certificate) {
  return {TextOf(X509_get_subject_name(certificate)), TextOf(X509_get_issuer_name(certificate)),
          TimeOf(X509_get0_notBefore(certificate)), TimeOf(X509_get0_notAfter(certificate))};
}

TlsTrust TrustOf(long verified) {
  switch (verified) {
    case X509_V_OK:
      return TlsTrust::kTrusted;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TlsTrust::kNotYetValid;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TlsTrust::kExpired;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return TlsTrust::kOtherAuthority;
    default:
      return TlsTrust::kOther;
  }
}

// Why the handshake ended, from OpenSSL's queue of errors.
absl::Status HandshakeError() {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  const std::string said = reason == nullptr ? "it broke off the handshake" : reason;
  if (absl::StrContains(said, "wrong version number") || absl::StrContains(said, "http request") ||
      absl::StrContains(said, "unknown protocol")) {
    return absl::UnauthenticatedError("what answers does not speak TLS");
  }
  return absl::UnauthenticatedError(absl::StrCat("TLS fails: ", said));
}

// One step, and what it gave to send.
bool ShakeHands(SSL* session, std::string* outgoing, absl::Status* failed) {
  const int result = SSL_do_handshake(session);
  const bool waits = result != 1 && SSL_get_error(session, result) == SSL_ERROR_WANT_READ;
  if (result != 1 && !waits) *failed = HandshakeError();
  char* data = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(session), &data);
  outgoing->assign(data, size > 0 ? static_cast<std::size_t>(size) : 0);
  BIO_reset(SSL_get_wbio(session));
  return result == 1;
}

}  // namespace

absl::StatusOr<TlsPeer> ProbeTls(absl::string_view ca_pem, const std::string& host,
                                 absl::FunctionRef<absl::Status(absl::string_view)> send,
                                 absl::FunctionRef<absl::StatusOr<std::string>()> receive) {
  ATTUNE_ASSIGN_OR_RETURN(const Context context, MakeContext(ca_pem));
  const Session session(SSL_new(context.get()));
  BIO* const incoming = BIO_new(BIO_s_mem());
  BIO* const outgoing = BIO_new(BIO_s_mem());
  if (session == nullptr || incoming == nullptr || outgoing == nullptr) return openssl::Error("start TLS");
  // An empty buffer means "not yet", not the end.
  BIO_set_mem_eof_return(incoming, -1);
  SSL_set_bio(session.get(), incoming, outgoing);  // takes them
  SSL_set_connect_state(session.get());
  if (!IsIpAddress(host)) SSL_set_tlsext_host_name(session.get(), host.c_str());

  std::size_t received = 0;
  for (;;) {
    std::string bytes;
    absl::Status failed;
    const bool done = ShakeHands(session.get(), &bytes, &failed);
    ATTUNE_RETURN_IF_ERROR(failed);
    if (!bytes.empty()) ATTUNE_RETURN_IF_ERROR(send(bytes));
    if (done) break;
    ATTUNE_ASSIGN_OR_RETURN(const std::string more, receive());
    received += more.size();
    if (received > kMaxHandshakeBytes) return absl::UnauthenticatedError("what answers does not end its TLS handshake");
    BIO_write(incoming, more.data(), static_cast<int>(more.size()));
  }

  TlsPeer peer;
  peer.protocol = SSL_get_version(session.get());
  peer.modern = SSL_version(session.get()) >= TLS1_2_VERSION;
  peer.cipher = SSL_get_cipher_name(session.get());
  const unsigned char* protocol = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(session.get(), &protocol, &length);
  peer.http2 = length == 2 && std::equal(protocol, protocol + length, kHttp2 + 1);
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(session.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) peer.chain.push_back(Describe(sk_X509_value(chain, i)));
  if (peer.chain.empty()) return absl::UnauthenticatedError("what answers shows no certificate");
  const long verified = SSL_get_verify_result(session.get());
  peer.trust = TrustOf(verified);
  peer.reason = X509_verify_cert_error_string(verified);
  X509* const leaf = sk_X509_value(chain, 0);
  peer.name_matches = IsIpAddress(host) ? X509_check_ip_asc(leaf, host.c_str(), 0) == 1
                                        : X509_check_host(leaf, host.c_str(), host.size(), 0, nullptr) == 1;
  ERR_clear_error();
  return peer;
}

}  // namespace attune

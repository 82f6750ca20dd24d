// SPDX-License-Identifier: Apache-2.0
//
// The consortium's own small certificate authority (ECDSA P-256, SHA-256), by OpenSSL. Keys and certificates are PEM text.
#ifndef ATTUNE_COMMON_SECURITY_CERTIFICATES_H_
#define ATTUNE_COMMON_SECURITY_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/security/wipe.h"

namespace attune {

struct KeyAndCertificate {
  ~KeyAndCertificate() { Wipe(key_pem); }
  std::string key_pem;          // PKCS #8, not encrypted: keep it in a file of mode 0600
  std::string certificate_pem;  // X.509
};

// A self-signed authority of the consortium, valid for ten years.
absl::StatusOr<KeyAndCertificate> MakeAuthority(absl::string_view consortium);

// A certificate for the coordinator's TLS server, valid for `days`. `hosts`: DNS names and IP addresses that sites dial.
// `key_pem`: the key to certify, when there is one already; empty: a new key.
absl::StatusOr<KeyAndCertificate> MakeServerCertificate(const KeyAndCertificate& authority, absl::string_view consortium,
                                                        const std::vector<std::string>& hosts, int days,
                                                        absl::string_view key_pem = "");

// The hosts in such a certificate.
absl::StatusOr<std::vector<std::string>> HostsOf(absl::string_view certificate_pem);

struct KeyAndRequest {
  ~KeyAndRequest() { Wipe(key_pem); }
  std::string key_pem;
  std::string request_pem;  // PKCS #10
};

// Made at the site; the key never leaves it.
absl::StatusOr<KeyAndRequest> MakeKeyAndRequest(absl::string_view site);

// A request for a key that the site has, to renew its certificate.
absl::StatusOr<std::string> MakeRequest(absl::string_view key_pem, absl::string_view site);

// A client certificate for the request's public key, with `site_uri` as its only subject alternative name. What the request
// itself says of names is ignored. Fails with InvalidArgument when the request is malformed or its self-signature does not
// hold.
absl::StatusOr<std::string> SignSiteRequest(const KeyAndCertificate& authority, absl::string_view request_pem,
                                            absl::string_view site_uri, int days);

// Likewise for an administrator, by `admin_uri`.
absl::StatusOr<std::string> SignAdminRequest(const KeyAndCertificate& authority, absl::string_view request_pem,
                                             absl::string_view admin_uri, int days);

// SHA-256 over the DER of the certificate, upper-case hexadecimal in pairs with colons, as browsers and openssl show it.
absl::StatusOr<std::string> FingerprintOf(absl::string_view certificate_pem);

// Whether two fingerprints are the same, whatever their case, colons and blanks.
bool SameFingerprint(absl::string_view a, absl::string_view b);

// Days until the certificate expires; negative when it has.
absl::StatusOr<int> DaysLeft(absl::string_view certificate_pem);

// When the certificate expires.
absl::StatusOr<absl::Time> ExpiryOf(absl::string_view certificate_pem);

// The identity in a site's certificate.
std::string SiteUri(absl::string_view consortium, absl::string_view site);  // attune://<consortium>/site/<site>

struct SiteIdentity {
  std::string consortium;
  std::string site;
};
// Fails with Unauthenticated when `uri` is not of that form.
absl::StatusOr<SiteIdentity> ParseSiteUri(absl::string_view uri);

// The identity in an administrator's certificate.
std::string AdminUri(absl::string_view consortium, absl::string_view admin);  // attune://<consortium>/admin/<admin>

enum class Role { kSite, kAdmin };

struct PeerIdentity {
  std::string consortium;
  Role role = Role::kSite;
  std::string name;
};
// Of a site or an administrator. Fails with Unauthenticated when `uri` is neither's.
absl::StatusOr<PeerIdentity> ParsePeerUri(absl::string_view uri);

// 256 random bits as 64 hexadecimal digits, from the operating system's generator: one-time tokens.
absl::StatusOr<std::string> MakeToken();

// Compares without telling by its time where two secrets differ.
bool SecretsEqual(absl::string_view a, absl::string_view b);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_CERTIFICATES_H_

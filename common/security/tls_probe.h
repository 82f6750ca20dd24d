// SPDX-License-Identifier: Apache-2.0
//
// One TLS handshake that looks at what the other side shows, whether it is to be trusted or not, to say what is wrong with it.
// No application data is ever sent and no client certificate is shown.
#ifndef ATTUNE_COMMON_SECURITY_TLS_PROBE_H_
#define ATTUNE_COMMON_SECURITY_TLS_PROBE_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace attune {

struct PresentedCertificate {
  std::string subject;  // "O = ..., CN = ...", control characters escaped
  std::string issuer;
  absl::Time not_before;
  absl::Time not_after;
};

enum class TlsTrust {
  kTrusted,
  kOtherAuthority,  // the chain does not lead to the authority
  kNotYetValid,
  kExpired,
  kOther,  // TlsPeer::reason says what
};

struct TlsPeer {
  std::string protocol;  // "TLSv1.3"
  bool modern = false;   // TLS 1.2 or newer
  std::string cipher;
  bool http2 = false;                       // agreed on HTTP/2, which gRPC needs
  std::vector<PresentedCertificate> chain;  // the peer's own first; never empty
  TlsTrust trust = TlsTrust::kOther;
  std::string reason;         // in OpenSSL's words, of `trust`
  bool name_matches = false;  // the certificate is for the host
};

// Shakes hands as a client that dialled `host` (a DNS name or an address) and trusts only `ca_pem`. `send` and `receive` move
// bytes over a connection; their errors are returned as they are. Offers even outdated versions of TLS, to name what the peer
// speaks. Unauthenticated when the peer does not speak TLS or breaks off the handshake; InvalidArgument for an unreadable
// authority.
absl::StatusOr<TlsPeer> ProbeTls(absl::string_view ca_pem, const std::string& host,
                                 absl::FunctionRef<absl::Status(absl::string_view)> send,
                                 absl::FunctionRef<absl::StatusOr<std::string>()> receive);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_TLS_PROBE_H_

// SPDX-License-Identifier: Apache-2.0
//
// A hospital's HTTP proxy, through which the site dials with CONNECT (RFC 9110, section 9.3.6): the TLS inside stays end to
// end.
#ifndef ATTUNE_COMMON_TRANSPORT_PROXY_H_
#define ATTUNE_COMMON_TRANSPORT_PROXY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/transport/tcp.h"

namespace attune {

struct ProxySettings {
  std::string address;      // "host:port"; empty: no proxy
  std::string credentials;  // "user:password"; empty: the proxy asks for none
};

// The one line "user:password" of a file. NotFound; FailedPrecondition, telling the command, when others than its owner may
// read the file; InvalidArgument when it is not one such line. Never quotes what the file says.
absl::StatusOr<std::string> ReadProxyCredentials(const std::string& path);

// The value of the header Proxy-Authorization.
std::string ProxyAuthorization(absl::string_view credentials);

// What it means that the proxy answered CONNECT with `response` (an HTTP status that is not 2xx), and what to do. Final are
// Unauthenticated (407, the credentials) and Aborted (403 and other refusals); Unavailable is what may pass.
absl::Status ProxyRefusal(int response, const ProxySettings& proxy, absl::string_view endpoint);

// That the proxy itself could not be reached: Unavailable.
absl::Status ProxyUnreachable(absl::string_view reason, const ProxySettings& proxy);

// Asks the proxy at the other end of `connection` to connect it to `endpoint`. Fails as ProxyRefusal says, with Aborted when
// what answers is no proxy, or as the connection does.
absl::Status OpenTunnel(const ProxySettings& proxy, absl::string_view endpoint, TcpConnection* connection);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_PROXY_H_

// SPDX-License-Identifier: Apache-2.0
//
// Plain connections, for 'attune-site doctor' to try the way step by step. Studies travel by grpc_courier.h.
#ifndef ATTUNE_COMMON_TRANSPORT_TCP_H_
#define ATTUNE_COMMON_TRANSPORT_TCP_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace attune {

struct HostPort {
  std::string host;  // a name or an address; IPv6 without its brackets
  int port = 0;
};

// "host:port", "[::1]:port". InvalidArgument for anything else: a scheme, a user, blanks, no port.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// The addresses of a host, as text. Unavailable, in the system's words, when there are none. Waits as long as the system does.
absl::StatusOr<std::vector<std::string>> AddressesOf(const std::string& host);

// Whether `host` is an address already.
bool IsAddress(const std::string& host);

// A connection that ends with the object. Not thread-safe.
class TcpConnection {
 public:
  // Tries each address of the host. Unavailable (refused, no route), or DeadlineExceeded when nothing answered in time. The
  // deadline holds for all that follows on the connection too.
  static absl::StatusOr<TcpConnection> Open(const HostPort& peer, absl::Time deadline);
  TcpConnection(TcpConnection&& other) noexcept;
  TcpConnection& operator=(TcpConnection&&) = delete;
  ~TcpConnection();

  // Unavailable when the peer ended the connection, DeadlineExceeded.
  absl::Status Send(absl::string_view bytes);
  // What has come, at least one byte and at most `most`. Fails likewise.
  absl::StatusOr<std::string> Receive(std::size_t most);

 private:
  TcpConnection(int descriptor, absl::Time deadline) : descriptor_(descriptor), deadline_(deadline) {}

  int descriptor_;
  absl::Time deadline_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_TCP_H_

// SPDX-License-Identifier: Apache-2.0
#include "common/transport/tcp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"

namespace attune {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

absl::StatusOr<Addresses> Resolve(const std::string& host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.empty() ? nullptr : port.c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrCat("the name '", host, "' has no address: ", ::gai_strerror(error)));
  return Addresses(found);
}

std::string TextOf(const addrinfo& address) {
  std::array<char, NI_MAXHOST> text = {};
  if (::getnameinfo(address.ai_addr, address.ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) return "?";
  return text.data();
}

// Waits until the descriptor is ready for `events`.
absl::Status Await(int descriptor, short events, absl::Time deadline) {
  for (;;) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("no answer in time");
    pollfd waiting = {.fd = descriptor, .events = events, .revents = 0};
    const int ready =
        ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(absl::ToInt64Milliseconds(left) + 1, 60'000)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return absl::InternalError(absl::StrCat("poll: ", std::strerror(errno)));
  }
}

absl::Status ConnectTo(const addrinfo& address, int descriptor, absl::Time deadline) {
  int error = ::connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    ATTUNE_RETURN_IF_ERROR(Await(descriptor, POLLOUT, deadline));
    socklen_t size = sizeof(error);
    if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  return error == 0 ? absl::OkStatus() : absl::UnavailableError(std::strerror(error));
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const std::size_t colon = text.rfind(':');
  HostPort parsed;
  bool good = colon != absl::string_view::npos && absl::SimpleAtoi(text.substr(colon + 1), &parsed.port) && parsed.port > 0 &&
              parsed.port < 65536 && absl::ascii_isdigit(static_cast<unsigned char>(text[colon + 1]));
  if (good) {
    absl::string_view host = text.substr(0, colon);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    good = !host.empty() && std::all_of(host.begin(), host.end(), [brackets](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' || (brackets && c == ':');
    });
    parsed.host = std::string(host);
  }
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no endpoint: expected host:port, as in 'proxy.hospital.example:3128'"));
  }
  return parsed;
}

bool IsAddress(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 || ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

absl::StatusOr<std::vector<std::string>> AddressesOf(const std::string& host) {
  ATTUNE_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(host, ""));
  std::vector<std::string> found;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    found.push_back(TextOf(*address));
  }
  return found;
}

absl::StatusOr<TcpConnection> TcpConnection::Open(const HostPort& peer, absl::Time deadline) {
  ATTUNE_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(peer.host, absl::StrCat(peer.port)));
  absl::Status last;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    const int descriptor = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
      last = absl::UnavailableError(std::strerror(errno));
      continue;
    }
    TcpConnection connection(descriptor, deadline);
    const absl::Status connected = ConnectTo(*address, descriptor, deadline);
    if (connected.ok()) return connection;
    last = WithContext(connected, absl::StrCat(TextOf(*address), " port ", peer.port));
  }
  return last;
}

TcpConnection::TcpConnection(TcpConnection&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), deadline_(other.deadline_) {}

TcpConnection::~TcpConnection() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

absl::Status TcpConnection::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      ATTUNE_RETURN_IF_ERROR(Await(descriptor_, POLLOUT, deadline_));
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the other side ended the connection: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TcpConnection::Receive(std::size_t most) {
  std::string bytes(most, '\0');
  for (;;) {
    const ssize_t received = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    if (received > 0) {
      bytes.resize(static_cast<std::size_t>(received));
      return bytes;
    }
    if (received == 0) return absl::UnavailableError("the other side ended the connection");
    if (errno == EAGAIN) {
      ATTUNE_RETURN_IF_ERROR(Await(descriptor_, POLLIN, deadline_));
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the other side ended the connection: ", std::strerror(errno)));
    }
  }
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// The rules; tests/end_to_end/network_test.cc has a real proxy.
#include "common/transport/proxy.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/tcp.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;
using testing::TempFolder;

TEST(Tcp, ParseHostPort_Good) {
  for (const auto& [text, host, port] : std::vector<std::tuple<std::string, std::string, int>>{{"proxy:3128", "proxy", 3128},
                                                                                               {"10.0.0.1:1", "10.0.0.1", 1},
                                                                                               {"[::1]:65535", "::1", 65535},
                                                                                               {"a-b.c_d:80", "a-b.c_d", 80}}) {
    ASSERT_OK_AND_ASSIGN(const HostPort parsed, ParseHostPort(text));
    EXPECT_EQ(parsed.host, host);
    EXPECT_EQ(parsed.port, port);
  }
}

TEST(Tcp, ParseHostPort_Bad) {
  for (const char* text : {"", ":", "proxy", "proxy:", ":3128", "proxy:0", "proxy:65536", "proxy:x", "proxy:-1", "proxy:+1",
                           "proxy: 1", "http://proxy:3128", "user@proxy:3128", "pro xy:1", "::1:80", "proxy:80\r\nX: y"}) {
    EXPECT_THAT(ParseHostPort(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected host:port"))) << text;
  }
}

TEST(Tcp, Open_RefusedAndNoSuchName) {
  EXPECT_THAT(TcpConnection::Open({"127.0.0.1", 1}, absl::Now() + absl::Seconds(5)),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("127.0.0.1 port 1"), HasSubstr("refused"))));
  EXPECT_THAT(AddressesOf("no-such-host.invalid"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no-such-host.invalid")));
}

absl::StatusOr<std::string> Read(const std::string& bytes, std::filesystem::perms more = std::filesystem::perms::none) {
  const TempFolder folder;
  const std::string path = folder.Write("credentials", bytes);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write | more);
  return ReadProxyCredentials(path);
}

TEST(Proxy, ReadProxyCredentials_OneLine) {
  EXPECT_EQ(Read("user:pa:ss@w/ord %\n").value(), "user:pa:ss@w/ord %");
  EXPECT_EQ(Read("user:").value(), "user:");
}

TEST(Proxy, ReadProxyCredentials_BadAndNeverQuoted) {
  for (const char* text : {"", "\n", "secret", ":secret", "user:secret\nuser:secret", "user:secret\r\nX-Header: y"}) {
    EXPECT_THAT(Read(text),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("user:password"), Not(HasSubstr("secret")))))
        << text;
  }
  EXPECT_THAT(Read(std::string(2000, 'x') + ":y"), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(ReadProxyCredentials("/nowhere/file"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/file")));
}

TEST(Proxy, ReadProxyCredentials_OthersMayRead) {
  for (const auto more : {std::filesystem::perms::group_read, std::filesystem::perms::others_read}) {
    EXPECT_THAT(Read("user:secret", more), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 600")));
  }
}

TEST(Proxy, ProxyRefusal_SaysWhoseTurnItIs) {
  const ProxySettings without{.address = "proxy:3128"};
  const ProxySettings with{.address = "proxy:3128", .credentials = "user:secret"};
  const auto code = absl::StatusCode::kUnauthenticated;
  EXPECT_THAT(ProxyRefusal(407, without, "c:1"), StatusIs(code, AllOf(HasSubstr("asks for a user"), HasSubstr("HTTP 407"))));
  EXPECT_THAT(ProxyRefusal(407, with, "c:1"), StatusIs(code, AllOf(HasSubstr("does not take"), Not(HasSubstr("secret")))));
  EXPECT_THAT(ProxyRefusal(401, with, "c:1"), StatusIs(code, _));
  for (const int response : {400, 403, 404, 405}) {
    EXPECT_THAT(ProxyRefusal(response, with, "c:1"),
                StatusIs(absl::StatusCode::kAborted, HasSubstr("forbids to connect to c:1")));
  }
  for (const int response : {408, 429, 500, 502, 503, 504}) {
    EXPECT_THAT(ProxyRefusal(response, with, "c:1"),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("could not connect to c:1")));
  }
}

// Asks something that gives one answer to one request for a tunnel; also what it was asked.
absl::Status Ask(const std::string& answer, const std::string& credentials, std::string* request) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener, 1), 0);
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread peer([&] {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    char c = 0;
    while (!absl::EndsWith(*request, "\r\n\r\n") && ::recv(client, &c, 1, 0) == 1) *request += c;
    EXPECT_EQ(::send(client, answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    ::close(client);
  });
  const int port = ::ntohs(address.sin_port);
  absl::StatusOr<TcpConnection> connection = TcpConnection::Open({"127.0.0.1", port}, absl::Now() + absl::Seconds(10));
  EXPECT_OK(connection);
  absl::Status status = OpenTunnel({absl::StrCat("127.0.0.1:", port), credentials}, "coordinator.example:443", &*connection);
  EXPECT_TRUE(!status.ok() || connection->Receive(100).value() == "inside") << "the tunnel's own bytes were taken";
  peer.join();
  ::close(listener);
  return status;
}

TEST(Proxy, OpenTunnel_AsksAndLeavesTheRest) {
  std::string request;
  EXPECT_OK(Ask("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\ninside", "Aladdin:open sesame", &request));
  EXPECT_EQ(request,
            "CONNECT coordinator.example:443 HTTP/1.1\r\nHost: coordinator.example:443\r\n"
            "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
  request.clear();
  EXPECT_OK(Ask("HTTP/1.0 200 OK\r\n\r\ninside", "", &request));
  EXPECT_THAT(request, Not(HasSubstr("Authorization")));
}

TEST(Proxy, OpenTunnel_Refused) {
  std::string request;
  EXPECT_THAT(Ask("HTTP/1.1 403 Filtered\r\n\r\n", "", &request), StatusIs(absl::StatusCode::kAborted, HasSubstr("HTTP 403")));
  EXPECT_THAT(Ask("SSH-2.0-OpenSSH\r\n\r\n", "", &request), StatusIs(absl::StatusCode::kAborted, HasSubstr("no HTTP proxy")));
  EXPECT_THAT(Ask(std::string(20'000, 'x'), "", &request), StatusIs(absl::StatusCode::kAborted, HasSubstr("no HTTP proxy")));
  EXPECT_THAT(Ask("HTTP/1.1 2", "", &request), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ended the connection")));
}

}  // namespace
}  // namespace attune

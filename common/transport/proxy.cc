// SPDX-License-Identifier: Apache-2.0
#include "common/transport/proxy.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/files.h"
#include "common/base/status.h"

namespace attune {
namespace {

constexpr std::uint64_t kMaxCredentialBytes = 1024;
constexpr std::size_t kMaxResponseBytes = 16 << 10;

}  // namespace

absl::StatusOr<std::string> ReadProxyCredentials(const std::string& path) {
  struct stat about = {};
  if (::stat(path.c_str(), &about) != 0) {
    return absl::NotFoundError(absl::StrCat("the file of the proxy's credentials '", path,
                                            "' does not exist or cannot be read: write it with the one line user:password"));
  }
  if ((about.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("others may read the proxy's credentials in '", path,
                                                      "': give 'chmod 600' on it, and change the password if it matters"));
  }
  ATTUNE_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxCredentialBytes));
  absl::StripTrailingAsciiWhitespace(&text);
  const bool plain =
      std::none_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
  if (!plain || text.find(':') == std::string::npos || text.front() == ':') {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not the one line user:password"));
  }
  return text;
}

std::string ProxyAuthorization(absl::string_view credentials) {
  return absl::StrCat("Basic ", absl::Base64Escape(credentials));
}

absl::Status ProxyRefusal(int response, const ProxySettings& proxy, absl::string_view endpoint) {
  const std::string said = absl::StrCat(" (HTTP ", response, ")");
  // tinyproxy says 401 where the password is wrong.
  if (response == 407 || response == 401) {
    return absl::UnauthenticatedError(
        proxy.credentials.empty()
            ? absl::StrCat("the proxy ", proxy.address, " asks for a user and password", said,
                           ": write them as one line user:password into a file of mode 0600 and name it with "
                           "--proxy-credentials, at 'attune-site enroll' or later at 'attune-site network'")
            : absl::StrCat("the proxy ", proxy.address, " does not take the user and password of the credentials file", said,
                           ": correct the file, or ask the IT department for an account that takes Basic authentication"));
  }
  if (response >= 400 && response < 500 && response != 408 && response != 429) {
    return absl::AbortedError(absl::StrCat("the proxy ", proxy.address, " forbids to connect to ", endpoint, said,
                                           ": the IT department has to allow CONNECT to this host and port"));
  }
  return absl::UnavailableError(absl::StrCat("the proxy ", proxy.address, " could not connect to ", endpoint, said,
                                             ": either the coordinator does not run there or the proxy does not reach it"));
}

absl::Status ProxyUnreachable(absl::string_view reason, const ProxySettings& proxy) {
  return absl::UnavailableError(absl::StrCat("the proxy ", proxy.address, " cannot be reached (", reason,
                                             "): check its name and port with the IT department, and correct --proxy at "
                                             "'attune-site enroll' or, later, at 'attune-site network'"));
}

absl::Status OpenTunnel(const ProxySettings& proxy, absl::string_view endpoint, TcpConnection* connection) {
  std::string request = absl::StrCat("CONNECT ", endpoint, " HTTP/1.1\r\nHost: ", endpoint, "\r\n");
  if (!proxy.credentials.empty()) {
    absl::StrAppend(&request, "Proxy-Authorization: ", ProxyAuthorization(proxy.credentials), "\r\n");
  }
  ATTUNE_RETURN_IF_ERROR(connection->Send(absl::StrCat(request, "\r\n")));
  // Byte by byte: what follows the header would belong to the tunnel.
  std::string header;
  while (!absl::StrContains(header, "\r\n\r\n")) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string piece, connection->Receive(1));
    header += piece;
    if (header.size() > kMaxResponseBytes) break;
  }
  const std::vector<std::string> words = absl::StrSplit(header.substr(0, header.find('\r')), absl::MaxSplits(' ', 2));
  int response = 0;
  if (!absl::StartsWith(header, "HTTP/1.") || words.size() < 2 || !absl::SimpleAtoi(words[1], &response)) {
    return absl::AbortedError(absl::StrCat("what answers at ", proxy.address, " is no HTTP proxy: check its name and port"));
  }
  return response >= 200 && response < 300 ? absl::OkStatus() : ProxyRefusal(response, proxy, endpoint);
}

}  // namespace attune

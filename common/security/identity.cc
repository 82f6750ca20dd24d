// SPDX-License-Identifier: Apache-2.0
//
// The parts of certificates.h that compare and name, and build no certificate.
#include <openssl/crypto.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/text.h"
#include "common/security/certificates.h"

namespace attune {
namespace {

std::string PlainFingerprint(absl::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c != ':' && !absl::ascii_isspace(static_cast<unsigned char>(c))) plain.push_back(absl::ascii_tolower(c));
  }
  return plain;
}

}  // namespace

bool SameFingerprint(absl::string_view a, absl::string_view b) {
  const std::string plain = PlainFingerprint(a);
  return IsSha256Hex(plain) && plain == PlainFingerprint(b);
}

std::string SiteUri(absl::string_view consortium, absl::string_view site) {
  return absl::StrCat("attune://", consortium, "/site/", site);
}

std::string AdminUri(absl::string_view consortium, absl::string_view admin) {
  return absl::StrCat("attune://", consortium, "/admin/", admin);
}

absl::StatusOr<PeerIdentity> ParsePeerUri(absl::string_view uri) {
  absl::string_view rest = uri;
  const bool has_scheme = absl::ConsumePrefix(&rest, "attune://");
  const std::vector<std::string> parts = absl::StrSplit(rest, '/');
  if (!has_scheme || parts.size() != 3 || (parts[1] != "site" && parts[1] != "admin") || !IsPlainName(parts[0]) ||
      !IsPlainName(parts[2])) {
    return absl::UnauthenticatedError(absl::StrCat(
        "'", absl::CHexEscape(uri), "' is no identity, expected attune://<consortium>/site/<site> or .../admin/<name>"));
  }
  return PeerIdentity{parts[0], parts[1] == "site" ? Role::kSite : Role::kAdmin, parts[2]};
}

absl::StatusOr<SiteIdentity> ParseSiteUri(absl::string_view uri) {
  absl::StatusOr<PeerIdentity> peer = ParsePeerUri(uri);
  if (!peer.ok() || peer->role != Role::kSite) {
    return absl::UnauthenticatedError(
        absl::StrCat("'", absl::CHexEscape(uri), "' is no site's identity, expected attune://<consortium>/site/<site>"));
  }
  return SiteIdentity{.consortium = std::move(peer->consortium), .site = std::move(peer->name)};
}

absl::StatusOr<std::string> MakeToken() {
  std::array<char, 32> bytes;
  // Up to 256 bytes come whole or not at all.
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return absl::InternalError(absl::StrCat("the system gives no random bytes: ", std::strerror(errno)));
  }
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

bool SecretsEqual(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace attune

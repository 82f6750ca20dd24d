// SPDX-License-Identifier: Apache-2.0
//
// The messages of secure aggregation, read and checked: what both a site and the coordinator need. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_AGGREGATION_MESSAGES_H_
#define ATTUNE_COMMON_SECURITY_AGGREGATION_MESSAGES_H_

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "attune/v1/aggregation.pb.h"
#include "common/security/aggregation.h"
#include "common/security/sealing.h"
#include "common/security/secret_bytes.h"

namespace attune::aggregation {

// What a signature is for.
inline constexpr char kKeysPurpose[] = "attune keys";
inline constexpr char kSurvivorsPurpose[] = "attune survivors";

// A serialized SecretShares, which has always both fields of 32 bytes.
inline constexpr std::size_t kSecretSharesBytes = 2 * (2 + SecretBytes::kSize);
inline constexpr std::size_t kSealedSharesBytes = kSealNonceBytes + kSecretSharesBytes + kSealTagBytes;

// For error texts: in quotes, escaped, cut.
std::string Shown(absl::string_view name);

// InvalidArgument when `bytes` are not a message of that type.
template <typename Message>
absl::StatusOr<Message> Parse(absl::string_view bytes, absl::string_view what) {
  constexpr std::size_t kMostBytes = std::size_t{16} << 20;  // 200 sites, each with the largest certificate
  const google::protobuf::LogSilencer silencer;
  Message message;
  if (bytes.size() > kMostBytes || !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(absl::StrCat("the ", what, " cannot be read"));
  }
  return message;
}

// PermissionDenied: too few or too many sites, not in order, a site or key twice, a threshold below ThresholdOf.
absl::Status CheckTerms(const Terms& terms);

// PermissionDenied when the study has no such site.
absl::StatusOr<const Peer*> PeerOf(const Terms& terms, absl::string_view site);

// OK when `message` was signed by the key that the manifest has for `peer`; PermissionDenied naming it when not.
absl::Status CheckSigned(const Peer& peer, const v1::Signed& message, absl::string_view purpose);

// The keys in a signed bundle, after every check that needs no other site's.
absl::StatusOr<v1::SiteKeys> ReadKeys(const Terms& terms, const v1::Signed& message);

struct Roster {
  std::string session_id;          // 32 bytes
  std::vector<v1::SiteKeys> keys;  // sorted by site

  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
  std::size_t Find(absl::string_view site) const;  // kAbsent when it is not there
};

// Reads the key roster. As a site does: with every signature, and each key against `terms`.
absl::StatusOr<Roster> VerifyRoster(const Terms& terms, absl::string_view key_roster);
// As the coordinator does, who made it of messages that it had checked.
absl::StatusOr<Roster> ReadRoster(absl::string_view key_roster);

// The message after its checks: bound to the roster; sorted; survivors among sharers among the roster's sites; enough of them.
absl::StatusOr<v1::Survivors> ReadSurvivors(const Terms& terms, const Roster& roster, absl::string_view survivors);

// Whether a sorted list holds a site.
template <typename Sites>
bool Holds(const Sites& sites, absl::string_view site) {
  for (const auto& each : sites) {
    if (each == site) return true;
  }
  return false;
}

// InvalidArgument unless the sites are sorted, each once, and all on the roster.
template <typename Sites>
absl::Status CheckSites(const Roster& roster, const Sites& sites, absl::string_view what) {
  absl::string_view before;
  for (const auto& site : sites) {
    if (roster.Find(site) == Roster::kAbsent) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(site), " is among the ", what, ", but not on the key roster"));
    }
    if (!before.empty() && before >= site) {
      return absl::InvalidArgumentError(absl::StrCat("the ", what, " are not sorted, or have ", Shown(site), " twice"));
    }
    before = site;
  }
  return absl::OkStatus();
}

}  // namespace attune::aggregation

#endif  // ATTUNE_COMMON_SECURITY_AGGREGATION_MESSAGES_H_

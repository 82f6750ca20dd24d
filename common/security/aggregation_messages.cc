// SPDX-License-Identifier: Apache-2.0
#include "common/security/aggregation_messages.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/security/key_agreement.h"
#include "common/security/signature.h"

namespace attune::aggregation {
namespace {

constexpr std::size_t kDigestBytes = 32;

// Of low order or not, a key shows with any other; this one is nobody's.
absl::Status CheckPublicKey(absl::string_view key) {
  SecretBytes nobodys;
  nobodys[0] = 8;
  return Agree(nobodys, key).status();
}

}  // namespace

std::string Shown(absl::string_view name) { return absl::StrCat("'", absl::CHexEscape(name.substr(0, 64)), "'"); }

std::uint32_t ThresholdOf(std::uint32_t sites) { return std::min(sites, (2 * sites + 2) / 3 + 1); }

absl::Status CheckTerms(const Terms& terms) {
  const std::size_t sites = terms.roster.size();
  if (sites < kFewestSites || sites > kMostSites) {
    return absl::PermissionDeniedError(absl::StrCat("secure aggregation of ", sites, " sites, expected ", kFewestSites, " to ",
                                                    kMostSites, ": of two, each would learn the other's from the sum"));
  }
  const std::uint32_t least = ThresholdOf(static_cast<std::uint32_t>(sites));
  if (terms.threshold < least || terms.threshold > sites) {
    return absl::PermissionDeniedError(
        absl::StrCat("the threshold is ", terms.threshold, ", expected ", least, " to ", sites, " of ", sites, " sites"));
  }
  std::set<absl::string_view> keys;
  absl::string_view before;
  for (const Peer& peer : terms.roster) {
    if (peer.site.empty() || before >= peer.site) {
      return absl::PermissionDeniedError(
          absl::StrCat("the study's sites are not sorted, or have ", Shown(peer.site), " twice"));
    }
    if (!IsSha256Hex(peer.key_sha256) || !keys.insert(peer.key_sha256).second) {
      return absl::PermissionDeniedError(
          absl::StrCat("the study has no key for ", Shown(peer.site), ", or the same as for another site"));
    }
    before = peer.site;
  }
  return absl::OkStatus();
}

absl::StatusOr<const Peer*> PeerOf(const Terms& terms, absl::string_view site) {
  for (const Peer& peer : terms.roster) {
    if (peer.site == site) return &peer;
  }
  return absl::PermissionDeniedError(absl::StrCat("the study has no site ", Shown(site)));
}

absl::Status CheckSigned(const Peer& peer, const v1::Signed& message, absl::string_view purpose) {
  const absl::Status signed_by_it =
      VerifySignatureBy(peer.key_sha256, message.certificate_pem(), purpose, message.payload(), message.signature());
  if (signed_by_it.ok()) return signed_by_it;
  return absl::PermissionDeniedError(
      absl::StrCat("what is said to be by ", Shown(peer.site),
                   " is not signed by the key that the study has for it: ", signed_by_it.message()));
}

absl::StatusOr<v1::SiteKeys> ReadKeys(const Terms& terms, const v1::Signed& message) {
  ATTUNE_ASSIGN_OR_RETURN(v1::SiteKeys keys, Parse<v1::SiteKeys>(message.payload(), "bundle of keys"));
  ATTUNE_ASSIGN_OR_RETURN(const Peer* const peer, PeerOf(terms, keys.site()));
  ATTUNE_RETURN_IF_ERROR(CheckSigned(*peer, message, kKeysPurpose));
  if (keys.session().SerializeAsString() != terms.session.SerializeAsString()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the keys of ", Shown(keys.site()), " are for another study, round or attempt"));
  }
  for (const std::string* key : {&keys.sealing_key(), &keys.masking_key()}) {
    const absl::Status usable = CheckPublicKey(*key);
    if (!usable.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("the keys of ", Shown(keys.site()), ": ", usable.message()));
    }
  }
  if (keys.seed_commitment().size() != kDigestBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the keys of ", Shown(keys.site()), ": the commitment has ",
                                                   keys.seed_commitment().size(), " bytes, expected ", kDigestBytes));
  }
  return keys;
}

std::size_t Roster::Find(absl::string_view site) const {
  const auto found =
      std::lower_bound(keys.begin(), keys.end(), site, [](const v1::SiteKeys& a, absl::string_view b) { return a.site() < b; });
  return found != keys.end() && found->site() == site ? static_cast<std::size_t>(found - keys.begin()) : kAbsent;
}

absl::StatusOr<Roster> VerifyRoster(const Terms& terms, absl::string_view key_roster) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const v1::KeyRoster message, Parse<v1::KeyRoster>(key_roster, "key roster"));
  const auto bundles = static_cast<std::size_t>(message.keys_size());
  if (bundles < terms.threshold || bundles > terms.roster.size()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the key roster has ", bundles, " sites, expected ", terms.threshold, " to ", terms.roster.size()));
  }
  Roster roster = {.session_id = absl::HexStringToBytes(Sha256Hex(key_roster))};
  std::set<std::string> public_keys;
  for (const v1::Signed& bundle : message.keys()) {
    ATTUNE_ASSIGN_OR_RETURN(v1::SiteKeys keys, ReadKeys(terms, bundle));
    if (!roster.keys.empty() && roster.keys.back().site() >= keys.site()) {
      return absl::PermissionDeniedError(absl::StrCat("the key roster is not sorted, or has ", Shown(keys.site()), " twice"));
    }
    if (!public_keys.insert(keys.sealing_key()).second || !public_keys.insert(keys.masking_key()).second) {
      return absl::PermissionDeniedError(absl::StrCat("a key of ", Shown(keys.site()), " is on the key roster twice"));
    }
    roster.keys.push_back(std::move(keys));
  }
  return roster;
}

absl::StatusOr<Roster> ReadRoster(absl::string_view key_roster) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::KeyRoster message, Parse<v1::KeyRoster>(key_roster, "key roster"));
  Roster roster = {.session_id = absl::HexStringToBytes(Sha256Hex(key_roster))};
  for (const v1::Signed& bundle : message.keys()) {
    ATTUNE_ASSIGN_OR_RETURN(v1::SiteKeys keys, Parse<v1::SiteKeys>(bundle.payload(), "bundle of keys"));
    if (!roster.keys.empty() && roster.keys.back().site() >= keys.site()) {
      return absl::InvalidArgumentError("the key roster is not sorted");
    }
    roster.keys.push_back(std::move(keys));
  }
  return roster;
}

absl::StatusOr<v1::Survivors> ReadSurvivors(const Terms& terms, const Roster& roster, absl::string_view survivors) {
  ATTUNE_ASSIGN_OR_RETURN(v1::Survivors message, Parse<v1::Survivors>(survivors, "list of survivors"));
  if (message.session_id() != roster.session_id) {
    return absl::PermissionDeniedError("the list of survivors is of another session");
  }
  ATTUNE_RETURN_IF_ERROR(CheckSites(roster, message.sharers(), "sharers"));
  ATTUNE_RETURN_IF_ERROR(CheckSites(roster, message.survivors(), "survivors"));
  for (const std::string& site : message.survivors()) {
    if (Holds(message.sharers(), site)) continue;
    return absl::PermissionDeniedError(absl::StrCat(Shown(site), " is said to have survived, but delivered no shares"));
  }
  if (static_cast<std::uint32_t>(message.survivors_size()) < terms.threshold) {
    return absl::PermissionDeniedError(
        absl::StrCat("only ", message.survivors_size(), " sites survived, expected at least ", terms.threshold));
  }
  return message;
}

}  // namespace attune::aggregation

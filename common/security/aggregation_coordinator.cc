// SPDX-License-Identifier: Apache-2.0
//
// The part of aggregation.h that runs at the coordinator.
#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/security/aggregation.h"
#include "common/security/aggregation_messages.h"
#include "common/security/key_agreement.h"
#include "common/security/mask_stream.h"
#include "common/security/shamir.h"

namespace attune::aggregation {
namespace {

absl::Status OtherSession(absl::string_view what, absl::string_view site) {
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, " of ", Shown(site), " is of another session, or of another site"));
}

// The unmasking message after its checks: of this session and site; exactly one share of every sharer, the one that it may be.
absl::StatusOr<v1::Unmasking> ReadUnmasking(const Roster& roster, const v1::Survivors& survivors, absl::string_view site,
                                            absl::string_view bytes) {
  ATTUNE_ASSIGN_OR_RETURN(v1::Unmasking message, Parse<v1::Unmasking>(bytes, "unmasking message"));
  if (message.session_id() != roster.session_id || message.site() != site) return OtherSession("unmasking message", site);
  if (!Holds(survivors.survivors(), site)) {
    return absl::PermissionDeniedError(absl::StrCat(Shown(site), " did not survive, and has nothing to unmask"));
  }
  if (message.shares_size() != survivors.sharers_size()) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(site), " revealed ", message.shares_size(), " shares, expected ",
                                                   survivors.sharers_size(), ", one of each sharer"));
  }
  for (int i = 0; i < message.shares_size(); ++i) {
    const v1::RevealedShare& share = message.shares(i);
    const std::string& sharer = survivors.sharers(i);
    const bool survived = Holds(survivors.survivors(), sharer);
    const auto expected = survived ? v1::RevealedShare::kSeedShare : v1::RevealedShare::kMaskingKeyShare;
    const std::string& value = survived ? share.seed_share() : share.masking_key_share();
    if (share.of() != sharer || share.share_case() != expected || value.size() != SecretBytes::kSize) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(site), " revealed something else than one share of the ",
                                                     survived ? "seed" : "masking key", " of ", Shown(sharer)));
    }
  }
  return message;
}

// The secret that the shares make, as far as `is_right` says: from the first `threshold`, or where one of these is false and
// there are more, from the others. DataLoss when no such choice is right.
absl::StatusOr<SecretBytes> Recover(std::vector<Share> shares, std::size_t threshold, absl::string_view what,
                                    absl::string_view of, absl::FunctionRef<bool(const SecretBytes&)> is_right) {
  const std::span<const Share> first(shares.data(), threshold);
  const SecretBytes secret = CombineShares(first);
  if (is_right(secret)) return secret;
  for (std::size_t left_out = 0; left_out < threshold && shares.size() > threshold; ++left_out) {
    std::swap(shares[left_out], shares[threshold]);
    const SecretBytes without_it = CombineShares(first);
    if (is_right(without_it)) return without_it;
    std::swap(shares[left_out], shares[threshold]);
  }
  return absl::DataLossError(absl::StrCat("the ", what, " of ", Shown(of), " cannot be recovered: of ", shares.size(),
                                          " shares some are false, by that site or by one that revealed them"));
}

}  // namespace

absl::Status CheckKeys(const Terms& terms, absl::string_view site, absl::string_view message) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Signed bundle, Parse<v1::Signed>(message, "signed bundle of keys"));
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteKeys keys, ReadKeys(terms, bundle));
  if (keys.site() != site)
    return absl::PermissionDeniedError(absl::StrCat(Shown(site), " sent the keys of ", Shown(keys.site())));
  return absl::OkStatus();
}

absl::Status CheckShares(const Terms& terms, absl::string_view site, absl::string_view key_roster, absl::string_view message) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const Roster roster, ReadRoster(key_roster));
  ATTUNE_ASSIGN_OR_RETURN(const v1::SharesFromSite shares, Parse<v1::SharesFromSite>(message, "shares"));
  if (roster.Find(site) == Roster::kAbsent) {
    return absl::PermissionDeniedError(absl::StrCat(Shown(site), " is not on the key roster"));
  }
  if (shares.session_id() != roster.session_id || shares.site() != site) return OtherSession("shares message", site);
  if (static_cast<std::size_t>(shares.shares_size()) != roster.keys.size()) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(site), " sent shares for ", shares.shares_size(), " sites, expected ",
                                                   roster.keys.size(), ", itself included"));
  }
  for (int i = 0; i < shares.shares_size(); ++i) {
    const v1::SealedShares& one = shares.shares(i);
    const std::string& to = roster.keys[static_cast<std::size_t>(i)].site();
    if (one.from() == site && one.to() == to && one.sealed().size() == kSealedSharesBytes) continue;
    return absl::InvalidArgumentError(absl::StrCat("the shares of ", Shown(site), " for ", Shown(to),
                                                   " are missing, in another's place, or not of ", kSealedSharesBytes,
                                                   " bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckConsistency(const Terms& terms, absl::string_view site, absl::string_view survivors,
                              absl::string_view message) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const Peer* const peer, PeerOf(terms, site));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Signed one, Parse<v1::Signed>(message, "signed list of survivors"));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Survivors expected, Parse<v1::Survivors>(survivors, "list of survivors"));
  if (one.payload() != survivors) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(site), " signed another set of survivors than it was sent"));
  }
  if (!Holds(expected.survivors(), site)) {
    return absl::PermissionDeniedError(absl::StrCat(Shown(site), " did not survive, and has nothing to sign"));
  }
  return CheckSigned(*peer, one, kSurvivorsPurpose);
}

absl::Status CheckUnmasking(const Terms& terms, absl::string_view site, absl::string_view key_roster,
                            absl::string_view survivors, absl::string_view message) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const Roster roster, ReadRoster(key_roster));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Survivors survived, ReadSurvivors(terms, roster, survivors));
  return ReadUnmasking(roster, survived, site, message).status();
}

std::string MakeKeyRoster(const std::map<std::string, std::string>& keys) {
  v1::KeyRoster roster;
  for (const auto& [site, message] : keys) roster.add_keys()->ParseFromString(message);
  return roster.SerializeAsString();
}

absl::StatusOr<std::string> MakeSharesForSite(absl::string_view site, const std::map<std::string, std::string>& shares) {
  if (shares.count(std::string(site)) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(site), " delivered no shares, and takes no part any more"));
  }
  v1::SharesForSite for_site;
  for_site.set_site(std::string(site));
  for (const auto& [from, bytes] : shares) {
    ATTUNE_ASSIGN_OR_RETURN(v1::SharesFromSite message, Parse<v1::SharesFromSite>(bytes, "shares"));
    if (for_site.session_id().empty()) for_site.set_session_id(message.session_id());
    if (message.session_id() != for_site.session_id() || message.site() != from) return OtherSession("shares message", from);
    const auto own = std::find_if(message.mutable_shares()->begin(), message.mutable_shares()->end(),
                                  [&](const v1::SealedShares& one) { return one.to() == site; });
    if (own == message.mutable_shares()->end()) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(from), " sent no shares for ", Shown(site)));
    }
    for_site.add_sharers(from);
    *for_site.add_shares() = std::move(*own);
  }
  return for_site.SerializeAsString();
}

absl::StatusOr<std::string> MakeSurvivors(absl::string_view key_roster, const std::vector<std::string>& sharers,
                                          const std::vector<std::string>& survivors) {
  ATTUNE_ASSIGN_OR_RETURN(const Roster roster, ReadRoster(key_roster));
  v1::Survivors message;
  message.set_session_id(roster.session_id);
  message.mutable_sharers()->Assign(sharers.begin(), sharers.end());
  message.mutable_survivors()->Assign(survivors.begin(), survivors.end());
  std::sort(message.mutable_sharers()->begin(), message.mutable_sharers()->end());
  std::sort(message.mutable_survivors()->begin(), message.mutable_survivors()->end());
  ATTUNE_RETURN_IF_ERROR(CheckSites(roster, message.sharers(), "sharers"));
  ATTUNE_RETURN_IF_ERROR(CheckSites(roster, message.survivors(), "survivors"));
  for (const std::string& site : message.survivors()) {
    if (!Holds(message.sharers(), site)) {
      return absl::InvalidArgumentError(absl::StrCat(Shown(site), " is among the survivors, but not among the sharers"));
    }
  }
  return message.SerializeAsString();
}

std::string MakeSurvivorSignatures(const std::map<std::string, std::string>& signatures) {
  v1::SurvivorSignatures all;
  for (const auto& [site, message] : signatures) all.add_signatures()->ParseFromString(message);
  return all.SerializeAsString();
}

struct Unmasker::State {
  std::string session_id;
  std::vector<Mask> masks;
};

Unmasker::Unmasker(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Unmasker::Unmasker(Unmasker&&) noexcept = default;
Unmasker::~Unmasker() = default;

absl::StatusOr<Unmasker> Unmasker::Create(const Terms& terms, absl::string_view key_roster, absl::string_view survivors,
                                          const std::map<std::string, std::string>& unmaskings) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const Roster roster, ReadRoster(key_roster));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Survivors survived, ReadSurvivors(terms, roster, survivors));
  if (unmaskings.size() < terms.threshold) {
    return absl::InvalidArgumentError(
        absl::StrCat(unmaskings.size(), " unmasking messages, expected at least ", terms.threshold));
  }
  // Of each sharer, in order: the shares of its one secret.
  std::vector<std::vector<Share>> shares(static_cast<std::size_t>(survived.sharers_size()));
  for (const auto& [site, bytes] : unmaskings) {
    ATTUNE_ASSIGN_OR_RETURN(const v1::Unmasking message, ReadUnmasking(roster, survived, site, bytes));
    const auto point = static_cast<std::uint8_t>(roster.Find(site) + 1);
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const v1::RevealedShare& share = message.shares(static_cast<int>(i));
      ATTUNE_ASSIGN_OR_RETURN(const SecretBytes value,
                              SecretBytes::From(share.has_seed_share() ? share.seed_share() : share.masking_key_share()));
      shares[i].push_back({.point = point, .value = value});
    }
  }
  auto state = std::make_unique<State>();
  state->session_id = roster.session_id;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const std::string& sharer = survived.sharers(static_cast<int>(i));
    const v1::SiteKeys& keys = roster.keys[roster.Find(sharer)];
    if (Holds(survived.survivors(), sharer)) {
      ATTUNE_ASSIGN_OR_RETURN(const SecretBytes seed,
                              Recover(std::move(shares[i]), terms.threshold, "seed", sharer, [&](const SecretBytes& recovered) {
                                return absl::HexStringToBytes(Sha256Hex(recovered.view())) == keys.seed_commitment();
                              }));
      state->masks.push_back(SelfMask(seed, sharer, /*subtract=*/true));
      continue;
    }
    ATTUNE_ASSIGN_OR_RETURN(
        const SecretBytes masking_key,
        Recover(std::move(shares[i]), terms.threshold, "masking key", sharer, [&](const SecretBytes& recovered) {
          const absl::StatusOr<std::string> public_key = PublicKeyOf(recovered);
          return public_key.ok() && *public_key == keys.masking_key();
        }));
    for (const std::string& survivor : survived.survivors()) {
      ATTUNE_ASSIGN_OR_RETURN(const SecretBytes agreed, Agree(masking_key, roster.keys[roster.Find(survivor)].masking_key()));
      state->masks.push_back(PairMask(agreed, survivor, sharer, /*removed=*/true));
    }
  }
  return Unmasker(std::move(state));
}

void Unmasker::RemoveMasks(std::uint64_t first, std::span<Word> words) const {
  ApplyMasks(state_->session_id, state_->masks, first, words);
}

}  // namespace attune::aggregation

// SPDX-License-Identifier: Apache-2.0
//
// The part of aggregation.h that runs at a site.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/security/aggregation.h"
#include "common/security/aggregation_messages.h"
#include "common/security/key_agreement.h"
#include "common/security/mask_stream.h"
#include "common/security/sealing.h"
#include "common/security/secret_bytes.h"
#include "common/security/shamir.h"
#include "common/security/signature.h"

namespace attune::aggregation {
namespace {

struct Secrets {
  SecretBytes sealing_key;
  SecretBytes masking_key;
  SecretBytes seed;
};

absl::StatusOr<Secrets> ReadSecrets(const Terms& terms, const v1::SessionSecrets& message) {
  if (message.session().SerializeAsString() != terms.session.SerializeAsString()) {
    return absl::PermissionDeniedError("the kept secrets are of another study, round or attempt");
  }
  Secrets secrets;
  ATTUNE_ASSIGN_OR_RETURN(secrets.sealing_key, SecretBytes::From(message.sealing_private_key()));
  ATTUNE_ASSIGN_OR_RETURN(secrets.masking_key, SecretBytes::From(message.masking_private_key()));
  ATTUNE_ASSIGN_OR_RETURN(secrets.seed, SecretBytes::From(message.seed()));
  return secrets;
}

absl::StatusOr<v1::SiteKeys> PublicPartOf(const Terms& terms, absl::string_view site, const Secrets& secrets) {
  v1::SiteKeys keys;
  *keys.mutable_session() = terms.session;
  keys.set_site(std::string(site));
  ATTUNE_ASSIGN_OR_RETURN(*keys.mutable_sealing_key(), PublicKeyOf(secrets.sealing_key));
  ATTUNE_ASSIGN_OR_RETURN(*keys.mutable_masking_key(), PublicKeyOf(secrets.masking_key));
  keys.set_seed_commitment(absl::HexStringToBytes(Sha256Hex(secrets.seed.view())));
  return keys;
}

absl::StatusOr<std::string> SignMessage(const Terms& terms, absl::string_view site, std::string payload,
                                        absl::string_view purpose, const Signer& signer) {
  ATTUNE_ASSIGN_OR_RETURN(const Peer* const peer, PeerOf(terms, site));
  v1::Signed message;
  ATTUNE_ASSIGN_OR_RETURN(*message.mutable_signature(), Sign(signer.key_pem, purpose, payload));
  message.set_payload(std::move(payload));
  message.set_certificate_pem(signer.certificate_pem);
  // Its own mistakes too: a site's new key is not the one that the study was approved with.
  ATTUNE_RETURN_IF_ERROR(CheckSigned(*peer, message, purpose));
  return message.SerializeAsString();
}

// The roster, verified, with this site's own place on it.
struct OwnRoster {
  Roster roster;
  std::size_t own = 0;
};

absl::StatusOr<OwnRoster> VerifyRosterWith(const Terms& terms, absl::string_view site, absl::string_view key_roster) {
  ATTUNE_ASSIGN_OR_RETURN(Roster roster, VerifyRoster(terms, key_roster));
  const std::size_t own = roster.Find(site);
  if (own == Roster::kAbsent) {
    return absl::PermissionDeniedError(absl::StrCat("the key roster lacks this site, ", Shown(site)));
  }
  return OwnRoster{std::move(roster), own};
}

absl::Status CheckOwnKeys(const Terms& terms, absl::string_view site, const Secrets& secrets, const OwnRoster& verified) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteKeys expected, PublicPartOf(terms, site, secrets));
  if (verified.roster.keys[verified.own].SerializeAsString() == expected.SerializeAsString()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the key roster has other keys for this site, ", Shown(site), ", than it sent"));
}

// The key that seals shares from one site for another: either of the two derives it.
absl::StatusOr<SecretBytes> SealingKey(const SecretBytes& own_private, const v1::SiteKeys& peer, const std::string& session_id,
                                       const std::string& use) {
  ATTUNE_ASSIGN_OR_RETURN(const SecretBytes agreed, Agree(own_private, peer.sealing_key()));
  return DeriveKey(agreed, session_id, use);
}

// What of the shares for this site needs no key to check.
absl::StatusOr<v1::SharesForSite> ReadSharesForSite(const Terms& terms, absl::string_view site, const Roster& roster,
                                                    absl::string_view shares_for_site) {
  ATTUNE_ASSIGN_OR_RETURN(v1::SharesForSite message, Parse<v1::SharesForSite>(shares_for_site, "shares for this site"));
  if (message.session_id() != roster.session_id) {
    return absl::PermissionDeniedError("the shares for this site are of another session");
  }
  if (message.site() != site) return absl::PermissionDeniedError(absl::StrCat("the shares are for ", Shown(message.site())));
  ATTUNE_RETURN_IF_ERROR(CheckSites(roster, message.sharers(), "sharers"));
  if (static_cast<std::uint32_t>(message.sharers_size()) < terms.threshold) {
    return absl::PermissionDeniedError(
        absl::StrCat("only ", message.sharers_size(), " sites delivered shares, expected at least ", terms.threshold));
  }
  if (!Holds(message.sharers(), site)) {
    return absl::PermissionDeniedError("this site's own shares did not arrive: it can take no part in this attempt");
  }
  if (message.shares_size() != message.sharers_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("shares of ", message.shares_size(), " sites, expected ", message.sharers_size()));
  }
  for (int i = 0; i < message.shares_size(); ++i) {
    const v1::SealedShares& shares = message.shares(i);
    if (shares.from() != message.sharers(i) || shares.to() != site) {
      return absl::PermissionDeniedError(absl::StrCat("in the place of the shares of ", Shown(message.sharers(i)),
                                                      " are some from ", Shown(shares.from()), " to ", Shown(shares.to())));
    }
  }
  return message;
}

struct OpenedShares {
  std::string from;
  SecretBytes masking_key_share;
  SecretBytes seed_share;
};

absl::StatusOr<OpenedShares> OpenShares(const Roster& roster, const Secrets& secrets, const v1::SealedShares& shares) {
  const std::string use = UseOfKey("share", shares.from(), shares.to(), 0);
  ATTUNE_ASSIGN_OR_RETURN(const SecretBytes key,
                          SealingKey(secrets.sealing_key, roster.keys[roster.Find(shares.from())], roster.session_id, use));
  absl::StatusOr<std::string> plain = OpenSealed(key, shares.sealed(), absl::StrCat(roster.session_id, use));
  if (!plain.ok()) {
    return absl::PermissionDeniedError(absl::StrCat("the shares of ", Shown(shares.from()), ": ", plain.status().message()));
  }
  absl::StatusOr<v1::SecretShares> parsed = Parse<v1::SecretShares>(*plain, "shares");
  Wipe(*plain);
  if (!parsed.ok() || parsed->masking_key_share().size() != SecretBytes::kSize ||
      parsed->seed_share().size() != SecretBytes::kSize) {
    return absl::PermissionDeniedError(absl::StrCat("the shares of ", Shown(shares.from()), " are malformed"));
  }
  OpenedShares opened = {.from = shares.from()};
  ATTUNE_ASSIGN_OR_RETURN(opened.masking_key_share, SecretBytes::From(parsed->masking_key_share()));
  ATTUNE_ASSIGN_OR_RETURN(opened.seed_share, SecretBytes::From(parsed->seed_share()));
  Wipe(*parsed->mutable_masking_key_share());
  Wipe(*parsed->mutable_seed_share());
  return opened;
}

absl::StatusOr<std::vector<OpenedShares>> OpenAllShares(const Roster& roster, const Secrets& secrets,
                                                        const v1::SharesForSite& message) {
  std::vector<OpenedShares> all;
  for (const v1::SealedShares& shares : message.shares()) {
    ATTUNE_ASSIGN_OR_RETURN(OpenedShares opened, OpenShares(roster, secrets, shares));
    all.push_back(std::move(opened));
  }
  return all;
}

// The survivors, after every check that a site makes of them.
absl::StatusOr<v1::Survivors> ReadOwnSurvivors(const Terms& terms, absl::string_view site, const Roster& roster,
                                               const v1::SharesForSite& shares, absl::string_view survivors) {
  ATTUNE_ASSIGN_OR_RETURN(v1::Survivors message, ReadSurvivors(terms, roster, survivors));
  if (!std::equal(message.sharers().begin(), message.sharers().end(), shares.sharers().begin(), shares.sharers().end())) {
    return absl::PermissionDeniedError("the sharers are not those that this site was told before");
  }
  if (!Holds(message.survivors(), site)) {
    return absl::PermissionDeniedError(absl::StrCat("the survivors lack this site, ", Shown(site)));
  }
  return message;
}

// How many survivors signed exactly `survivors`. One bad signature condemns them all: the coordinator has checked each.
absl::StatusOr<std::uint32_t> CountSignatures(const Terms& terms, const v1::Survivors& message, absl::string_view survivors,
                                              absl::string_view signatures) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::SurvivorSignatures all, Parse<v1::SurvivorSignatures>(signatures, "survivors' signatures"));
  if (all.signatures_size() > message.survivors_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(all.signatures_size(), " signatures, expected at most ", message.survivors_size()));
  }
  std::vector<std::string> signers;
  for (const v1::Signed& one : all.signatures()) {
    if (one.payload() != survivors) {
      return absl::PermissionDeniedError("a site has signed another set of survivors: the coordinator tells sites apart");
    }
    const absl::StatusOr<std::string> key = KeyFingerprintOf(one.certificate_pem());
    const Peer* signer = nullptr;
    for (const Peer& peer : terms.roster) {
      if (key.ok() && *key == peer.key_sha256) signer = &peer;
    }
    if (signer == nullptr || !Holds(message.survivors(), signer->site)) {
      return absl::PermissionDeniedError("a signature is by the key of no survivor");
    }
    ATTUNE_RETURN_IF_ERROR(CheckSigned(*signer, one, kSurvivorsPurpose));
    if (Holds(signers, signer->site)) {
      return absl::PermissionDeniedError(absl::StrCat("the signature of ", Shown(signer->site), " is there twice"));
    }
    signers.push_back(signer->site);
  }
  return static_cast<std::uint32_t>(signers.size());
}

}  // namespace

absl::StatusOr<v1::SessionSecrets> NewSecrets(const v1::AggregationSession& session) {
  v1::SessionSecrets secrets;
  *secrets.mutable_session() = session;
  for (std::string* secret :
       {secrets.mutable_sealing_private_key(), secrets.mutable_masking_private_key(), secrets.mutable_seed()}) {
    ATTUNE_ASSIGN_OR_RETURN(const SecretBytes bytes, SecretBytes::Random());
    secret->assign(bytes.view().data(), SecretBytes::kSize);
  }
  return secrets;
}

void WipeSecrets(v1::SessionSecrets& secrets) {
  for (std::string* secret :
       {secrets.mutable_sealing_private_key(), secrets.mutable_masking_private_key(), secrets.mutable_seed()}) {
    Wipe(*secret);
  }
}

absl::StatusOr<std::string> KeysMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                        const Signer& signer) {
  ATTUNE_RETURN_IF_ERROR(CheckTerms(terms));
  ATTUNE_ASSIGN_OR_RETURN(const Secrets own, ReadSecrets(terms, secrets));
  ATTUNE_ASSIGN_OR_RETURN(const v1::SiteKeys keys, PublicPartOf(terms, site, own));
  return SignMessage(terms, site, keys.SerializeAsString(), kKeysPurpose, signer);
}

absl::StatusOr<std::string> SharesMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                          absl::string_view key_roster) {
  ATTUNE_ASSIGN_OR_RETURN(const Secrets own, ReadSecrets(terms, secrets));
  ATTUNE_ASSIGN_OR_RETURN(const OwnRoster verified, VerifyRosterWith(terms, site, key_roster));
  ATTUNE_RETURN_IF_ERROR(CheckOwnKeys(terms, site, own, verified));
  const Roster& roster = verified.roster;
  const auto holders = static_cast<unsigned>(roster.keys.size());
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<SecretBytes> of_key, SplitSecret(own.masking_key, terms.threshold, holders));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<SecretBytes> of_seed, SplitSecret(own.seed, terms.threshold, holders));
  v1::SharesFromSite message;
  message.set_session_id(roster.session_id);
  message.set_site(std::string(site));
  for (unsigned i = 0; i < holders; ++i) {
    v1::SecretShares shares;
    shares.set_masking_key_share(std::string(of_key[i].view()));
    shares.set_seed_share(std::string(of_seed[i].view()));
    std::string plain = shares.SerializeAsString();
    Wipe(*shares.mutable_masking_key_share());
    Wipe(*shares.mutable_seed_share());
    const std::string use = UseOfKey("share", site, roster.keys[i].site(), 0);
    const absl::StatusOr<SecretBytes> key = SealingKey(own.sealing_key, roster.keys[i], roster.session_id, use);
    absl::StatusOr<std::string> sealed =
        key.ok() ? Seal(*key, plain, absl::StrCat(roster.session_id, use)) : absl::StatusOr<std::string>(key.status());
    Wipe(plain);
    if (!sealed.ok()) return sealed.status();
    v1::SealedShares& to = *message.add_shares();
    to.set_from(std::string(site));
    to.set_to(roster.keys[i].site());
    to.set_sealed(*std::move(sealed));
  }
  return message.SerializeAsString();
}

struct Masker::State {
  std::string session_id;
  std::vector<Mask> masks;
};

Masker::Masker(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Masker::Masker(Masker&&) noexcept = default;
Masker::~Masker() = default;

absl::StatusOr<Masker> Masker::Create(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                      absl::string_view key_roster, absl::string_view shares_for_site) {
  ATTUNE_ASSIGN_OR_RETURN(const Secrets own, ReadSecrets(terms, secrets));
  ATTUNE_ASSIGN_OR_RETURN(const OwnRoster verified, VerifyRosterWith(terms, site, key_roster));
  ATTUNE_RETURN_IF_ERROR(CheckOwnKeys(terms, site, own, verified));
  const Roster& roster = verified.roster;
  ATTUNE_ASSIGN_OR_RETURN(const v1::SharesForSite shares, ReadSharesForSite(terms, site, roster, shares_for_site));
  ATTUNE_RETURN_IF_ERROR(OpenAllShares(roster, own, shares).status());
  auto state = std::make_unique<State>();
  state->session_id = roster.session_id;
  state->masks.push_back(SelfMask(own.seed, site, /*subtract=*/false));
  for (const std::string& other : shares.sharers()) {
    if (other == site) continue;
    ATTUNE_ASSIGN_OR_RETURN(const SecretBytes agreed, Agree(own.masking_key, roster.keys[roster.Find(other)].masking_key()));
    state->masks.push_back(PairMask(agreed, site, other, /*removed=*/false));
  }
  return Masker(std::move(state));
}

void Masker::AddMasks(std::uint64_t first, std::span<Word> words) const {
  ApplyMasks(state_->session_id, state_->masks, first, words);
}

absl::StatusOr<std::string> ConsistencyMessage(const Terms& terms, absl::string_view site, absl::string_view key_roster,
                                               absl::string_view shares_for_site, absl::string_view survivors,
                                               const Signer& signer) {
  ATTUNE_ASSIGN_OR_RETURN(const OwnRoster verified, VerifyRosterWith(terms, site, key_roster));
  ATTUNE_ASSIGN_OR_RETURN(const v1::SharesForSite shares, ReadSharesForSite(terms, site, verified.roster, shares_for_site));
  ATTUNE_RETURN_IF_ERROR(ReadOwnSurvivors(terms, site, verified.roster, shares, survivors).status());
  return SignMessage(terms, site, std::string(survivors), kSurvivorsPurpose, signer);
}

absl::StatusOr<std::string> UnmaskingMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                             absl::string_view key_roster, absl::string_view shares_for_site,
                                             absl::string_view survivors, absl::string_view signatures) {
  ATTUNE_ASSIGN_OR_RETURN(const Secrets own, ReadSecrets(terms, secrets));
  ATTUNE_ASSIGN_OR_RETURN(const OwnRoster verified, VerifyRosterWith(terms, site, key_roster));
  ATTUNE_RETURN_IF_ERROR(CheckOwnKeys(terms, site, own, verified));
  const Roster& roster = verified.roster;
  ATTUNE_ASSIGN_OR_RETURN(const v1::SharesForSite shares, ReadSharesForSite(terms, site, roster, shares_for_site));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Survivors survived, ReadOwnSurvivors(terms, site, roster, shares, survivors));
  ATTUNE_ASSIGN_OR_RETURN(const std::uint32_t signers, CountSignatures(terms, survived, survivors, signatures));
  if (signers < terms.threshold) {
    return absl::PermissionDeniedError(
        absl::StrCat("only ", signers, " sites signed the set of survivors, expected at least ", terms.threshold));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<OpenedShares> opened, OpenAllShares(roster, own, shares));
  v1::Unmasking message;
  message.set_session_id(roster.session_id);
  message.set_site(std::string(site));
  for (const OpenedShares& one : opened) {
    v1::RevealedShare& revealed = *message.add_shares();
    revealed.set_of(one.from);
    if (Holds(survived.survivors(), one.from)) {
      revealed.set_seed_share(std::string(one.seed_share.view()));
    } else {
      revealed.set_masking_key_share(std::string(one.masking_key_share.view()));
    }
  }
  return message.SerializeAsString();
}

}  // namespace attune::aggregation

// SPDX-License-Identifier: Apache-2.0
//
// One attempt at secure aggregation among k sites in memory, step by step, so that a test can put an attack between any two.
#ifndef ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTEMPT_H_
#define ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTEMPT_H_

#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/security/aggregation.h"
#include "common/security/certificates.h"
#include "common/security/signature.h"
#include "tests/support/status_matchers.h"

namespace attune::aggregation {

inline const KeyAndCertificate& TestAuthority() {
  static const KeyAndCertificate& authority = *new KeyAndCertificate(*MakeAuthority("enigma"));
  return authority;
}

inline Signer NewSigner(const std::string& site) {
  const KeyAndRequest made = *MakeKeyAndRequest(site);
  return {made.key_pem, *SignSiteRequest(TestAuthority(), made.request_pem, SiteUri("enigma", site), 365)};
}

// "site-a", "site-b", ...
inline std::string NameOf(int i) { return std::string("site-") + static_cast<char>('a' + i); }

// The same in every attempt.
inline const Signer& SignerOf(int i) {
  static std::map<int, Signer>& signers = *new std::map<int, Signer>;
  const auto [signer, is_new] = signers.try_emplace(i);
  if (is_new) signer->second = NewSigner(NameOf(i));
  return signer->second;
}

inline std::vector<Word> RandomWords(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<Word> words(count);
  for (Word& word : words) word = Word{random()} << 64 | random();
  return words;
}

struct Attempt {
  Terms terms;
  std::map<std::string, v1::SessionSecrets> secrets;
  std::map<std::string, std::string> keys, shares, for_site, consistency, unmaskings;
  std::string key_roster, survivors, signatures;

  explicit Attempt(int k, std::uint32_t number = 1) {
    terms.session.set_protocol(1);
    terms.session.set_manifest_sha256(Sha256Hex("manifest"));
    terms.session.set_round(1);
    terms.session.set_attempt(number);
    terms.session.set_question_sha256(Sha256Hex("question"));
    terms.threshold = ThresholdOf(static_cast<std::uint32_t>(k));
    for (int i = 0; i < k; ++i) terms.roster.push_back({NameOf(i), *KeyFingerprintOf(SignerOf(i).certificate_pem)});
  }

  std::vector<std::string> Sites(int from = 0) const {
    std::vector<std::string> sites;
    for (std::size_t i = static_cast<std::size_t>(from); i < terms.roster.size(); ++i) sites.push_back(terms.roster[i].site);
    return sites;
  }
  static const Signer& SignerFor(const std::string& site) { return SignerOf(site.back() - 'a'); }

  // Each step for the sites given; the later ones need the earlier.
  Attempt& Keys(const std::vector<std::string>& sites) {
    for (const std::string& site : sites) {
      secrets[site] = *NewSecrets(terms.session);
      keys[site] = *KeysMessage(terms, site, secrets[site], SignerFor(site));
      EXPECT_OK(CheckKeys(terms, site, keys[site]));
    }
    key_roster = MakeKeyRoster(keys);
    return *this;
  }
  Attempt& Shares(const std::vector<std::string>& sites) {
    for (const std::string& site : sites) {
      const auto message = SharesMessage(terms, site, secrets[site], key_roster);
      EXPECT_OK(message);
      if (!message.ok()) return *this;
      shares[site] = *message;
      EXPECT_OK(CheckShares(terms, site, key_roster, shares[site]));
    }
    for (const std::string& site : sites) for_site[site] = *MakeSharesForSite(site, shares);
    return *this;
  }
  Attempt& Consistency(const std::vector<std::string>& sites) {
    std::vector<std::string> sharers;
    for (const auto& [site, message] : shares) sharers.push_back(site);
    survivors = *MakeSurvivors(key_roster, sharers, sites);
    for (const std::string& site : sites) {
      const auto message = ConsistencyMessage(terms, site, key_roster, for_site[site], survivors, SignerFor(site));
      EXPECT_OK(message);
      if (!message.ok()) return *this;
      consistency[site] = *message;
      EXPECT_OK(CheckConsistency(terms, site, survivors, consistency[site]));
    }
    signatures = MakeSurvivorSignatures(consistency);
    return *this;
  }
  Attempt& Unmask(const std::vector<std::string>& sites) {
    for (const std::string& site : sites) {
      const auto message = UnmaskingFrom(site);
      EXPECT_OK(message);
      if (!message.ok()) return *this;
      unmaskings[site] = *message;
      EXPECT_OK(CheckUnmasking(terms, site, key_roster, survivors, unmaskings[site]));
    }
    return *this;
  }
  absl::StatusOr<std::string> UnmaskingFrom(const std::string& site) {
    return UnmaskingMessage(terms, site, secrets[site], key_roster, for_site[site], survivors, signatures);
  }

  std::vector<Word> Masked(const std::string& site, std::vector<Word> words) {
    const auto masker = Masker::Create(terms, site, secrets[site], key_roster, for_site[site]);
    EXPECT_OK(masker);
    if (masker.ok()) masker->AddMasks(0, {words.data(), words.size()});
    return words;
  }
};

}  // namespace attune::aggregation

#endif  // ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTEMPT_H_

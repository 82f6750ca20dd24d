// SPDX-License-Identifier: Apache-2.0
//
// What attacks on secure aggregation share: an attempt of seven sites, whose messages are changed on their way.
#ifndef ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTACK_H_
#define ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTACK_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/security/aggregation.h"
#include "common/security/key_agreement.h"
#include "tests/common/security/aggregation_attempt.h"

namespace attune::aggregation {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
inline constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// The message with something changed.
template <typename Message, typename Change>
std::string Edited(const std::string& bytes, Change change) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  change(message);
  return message.SerializeAsString();
}

// A bundle of keys as `signer` would sign it for `site`.
inline std::string SignedKeys(const v1::AggregationSession& session, const std::string& site, const Signer& signer,
                              const std::string& purpose = "attune keys") {
  const v1::SessionSecrets secrets = *NewSecrets(session);
  v1::SiteKeys keys;
  *keys.mutable_session() = session;
  keys.set_site(site);
  keys.set_sealing_key(*PublicKeyOf(*SecretBytes::From(secrets.sealing_private_key())));
  keys.set_masking_key(*PublicKeyOf(*SecretBytes::From(secrets.masking_private_key())));
  keys.set_seed_commitment(std::string(32, 'c'));
  v1::Signed message;
  message.set_payload(keys.SerializeAsString());
  message.set_signature(*Sign(signer.key_pem, purpose, message.payload()));
  message.set_certificate_pem(signer.certificate_pem);
  return message.SerializeAsString();
}

inline std::string Resigned(const std::string& signed_keys, const Signer& signer,
                            const std::function<void(v1::SiteKeys&)>& change) {
  return Edited<v1::Signed>(signed_keys, [&](v1::Signed& message) {
    message.set_payload(Edited<v1::SiteKeys>(message.payload(), change));
    message.set_signature(*Sign(signer.key_pem, "attune keys", message.payload()));
  });
}

class AggregationAttack : public ::testing::Test {
 protected:
  AggregationAttack() : attempt_(7) {}  // threshold 6

  void Keys() { attempt_.Keys(attempt_.Sites()); }
  void Shares() { attempt_.Keys(attempt_.Sites()).Shares(attempt_.Sites()); }

  absl::Status Share(const std::string& roster) {
    return SharesMessage(attempt_.terms, "site-a", attempt_.secrets["site-a"], roster).status();
  }
  // The roster in which the keys of site-c are `message`.
  std::string RosterWith(const std::string& message) {
    std::map<std::string, std::string> keys = attempt_.keys;
    keys["site-c"] = message;
    return MakeKeyRoster(keys);
  }
  // Both the sites and the coordinator refuse site-c's `message`.
  void ExpectKeysRefused(const std::string& message, absl::StatusCode code, const std::string& text) {
    EXPECT_THAT(Share(RosterWith(message)), StatusIs(code, AllOf(HasSubstr("'site-c'"), HasSubstr(text))));
    EXPECT_THAT(CheckKeys(attempt_.terms, "site-c", message), StatusIs(code, HasSubstr(text)));
  }
  absl::Status Mask(const std::string& for_site) {
    return Masker::Create(attempt_.terms, "site-a", attempt_.secrets["site-a"], attempt_.key_roster, for_site).status();
  }
  template <typename Change>
  absl::Status MaskWith(Change change) {
    return Mask(Edited<v1::SharesForSite>(attempt_.for_site["site-a"], change));
  }
  absl::Status Consist(const std::string& survivors) {
    return ConsistencyMessage(attempt_.terms, "site-a", attempt_.key_roster, attempt_.for_site["site-a"], survivors,
                              SignerOf(0))
        .status();
  }
  absl::Status Unmask(const std::string& survivors, const std::string& signatures) {
    return UnmaskingMessage(attempt_.terms, "site-a", attempt_.secrets["site-a"], attempt_.key_roster,
                            attempt_.for_site["site-a"], survivors, signatures)
        .status();
  }
  std::string SurvivorsOf(const std::vector<std::string>& survivors) {
    return *MakeSurvivors(attempt_.key_roster, attempt_.Sites(), survivors);
  }
  // What every one of `sites` signs when it is asked to sign `survivors`.
  std::map<std::string, std::string> SignaturesOn(const std::string& survivors, const std::vector<std::string>& sites) {
    std::map<std::string, std::string> all;
    for (const std::string& site : sites) {
      auto message = ConsistencyMessage(attempt_.terms, site, attempt_.key_roster, attempt_.for_site[site], survivors,
                                        Attempt::SignerFor(site));
      EXPECT_OK(message);
      all[site] = *message;
    }
    return all;
  }

  Attempt attempt_;
};

}  // namespace attune::aggregation

#endif  // ATTUNE_TESTS_COMMON_SECURITY_AGGREGATION_ATTACK_H_

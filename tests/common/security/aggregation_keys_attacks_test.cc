// SPDX-License-Identifier: Apache-2.0
//
// Attacks on the first steps of secure aggregation, keys and roster, and on what ties messages to one attempt; each must fail.
// README.md in common/security has the table that these names are in.
#include <algorithm>
#include <bit>
#include <functional>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "common/security/aggregation.h"
#include "common/security/key_agreement.h"
#include "common/security/mask_stream.h"
#include "common/security/sealing.h"
#include "common/security/shamir.h"
#include "tests/common/security/aggregation_attack.h"

namespace attune::aggregation {
namespace {

// ---- Keys that a coordinator, a site or somebody between them puts in the place of a site's ----

TEST_F(AggregationAttack, KeySubstitution_WithoutSignature) {
  Keys();
  const std::string other = SignedKeys(attempt_.terms.session, "site-c", SignerOf(2));
  v1::Signed stolen;
  ASSERT_TRUE(stolen.ParseFromString(other));
  ExpectKeysRefused(Edited<v1::Signed>(attempt_.keys["site-c"], [&](v1::Signed& m) { m.set_payload(stolen.payload()); }),
                    kDenied, "not signed");
  ExpectKeysRefused(Edited<v1::Signed>(other, [&](v1::Signed& m) { m.clear_signature(); }), kDenied, "not signed");
  ExpectKeysRefused(Edited<v1::Signed>(other, [&](v1::Signed& m) { m.clear_certificate_pem(); }), kDenied, "not signed");
}

TEST_F(AggregationAttack, KeySubstitution_SignedByAnotherSite) {
  Keys();
  ExpectKeysRefused(SignedKeys(attempt_.terms.session, "site-c", SignerOf(1)), kDenied, "another key");
  // With its own signature, but the victim's certificate.
  ExpectKeysRefused(Edited<v1::Signed>(SignedKeys(attempt_.terms.session, "site-c", SignerOf(1)),
                                       [](v1::Signed& m) { m.set_certificate_pem(SignerOf(2).certificate_pem); }),
                    kDenied, "not signed");
}

// The authority, or who has stolen its key, gives a new certificate in the site's name: the manifest has the key, not the name.
TEST_F(AggregationAttack, KeySubstitution_CertificateOfAnotherKey) {
  Keys();
  ExpectKeysRefused(SignedKeys(attempt_.terms.session, "site-c", NewSigner("site-c")), kDenied, "another key");
  EXPECT_THAT(KeysMessage(attempt_.terms, "site-a", attempt_.secrets["site-a"], NewSigner("site-a")),
              StatusIs(kDenied, HasSubstr("another key")));
}

TEST_F(AggregationAttack, KeySubstitution_SignatureForAnotherPurpose) {
  Keys();
  ExpectKeysRefused(SignedKeys(attempt_.terms.session, "site-c", SignerOf(2), "attune survivors"), kDenied, "not signed");
}

TEST_F(AggregationAttack, KeySubstitution_OwnKeysChanged) {
  Keys();
  // Signed by the site itself, a moment ago, for this same attempt: and still not what it sent.
  attempt_.keys["site-a"] = SignedKeys(attempt_.terms.session, "site-a", SignerOf(0));
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("other keys for this site")));
}

TEST_F(AggregationAttack, KeySubstitution_CopiedFromAnother) {
  Keys();
  v1::Signed victim;
  ASSERT_TRUE(victim.ParseFromString(attempt_.keys["site-b"]));
  v1::SiteKeys keys;
  ASSERT_TRUE(keys.ParseFromString(victim.payload()));
  for (const std::string& key : {keys.masking_key(), keys.sealing_key()}) {
    const std::string copied =
        Resigned(attempt_.keys["site-c"], SignerOf(2), [&](v1::SiteKeys& own) { own.set_masking_key(key); });
    EXPECT_THAT(Share(RosterWith(copied)), StatusIs(kDenied, HasSubstr("twice")));
  }
}

TEST_F(AggregationAttack, Keys_OfLowOrderOrAnotherSize) {
  Keys();
  for (const std::string& key : {std::string(32, '\0'), std::string("\1") + std::string(31, '\0')}) {
    ExpectKeysRefused(Resigned(attempt_.keys["site-c"], SignerOf(2), [&](v1::SiteKeys& k) { k.set_masking_key(key); }),
                      kInvalid, "low order");
    ExpectKeysRefused(Resigned(attempt_.keys["site-c"], SignerOf(2), [&](v1::SiteKeys& k) { k.set_sealing_key(key); }),
                      kInvalid, "low order");
  }
  ExpectKeysRefused(Resigned(attempt_.keys["site-c"], SignerOf(2), [&](v1::SiteKeys& k) { k.set_masking_key("short"); }),
                    kInvalid, "5 bytes");
  ExpectKeysRefused(Resigned(attempt_.keys["site-c"], SignerOf(2), [&](v1::SiteKeys& k) { k.set_seed_commitment("short"); }),
                    kInvalid, "5 bytes");
}

TEST_F(AggregationAttack, Keys_SentInAnothersName) {
  Keys();
  EXPECT_THAT(CheckKeys(attempt_.terms, "site-b", attempt_.keys["site-c"]), StatusIs(kDenied, HasSubstr("'site-b' sent")));
}

// ---- Another roster than the manifest's ----

TEST_F(AggregationAttack, Roster_LacksThisSite) {
  Keys();
  attempt_.keys.erase("site-a");
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("lacks this site")));
}

TEST_F(AggregationAttack, Roster_HasASiteTwice) {
  Keys();
  attempt_.keys.erase("site-g");
  attempt_.keys["site-c2"] = SignedKeys(attempt_.terms.session, "site-c", SignerOf(2));
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("'site-c' twice")));
}

TEST_F(AggregationAttack, Roster_HasAStranger) {
  Keys();
  attempt_.keys["site-x"] = SignedKeys(attempt_.terms.session, "site-x", NewSigner("site-x"));
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("8 sites, expected 6 to 7")));
  attempt_.keys.erase("site-c");
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("no site 'site-x'")));
}

TEST_F(AggregationAttack, Roster_BelowTheThreshold) {
  Keys();
  attempt_.keys.erase("site-g");
  EXPECT_OK(Share(MakeKeyRoster(attempt_.keys)));
  attempt_.keys.erase("site-f");
  EXPECT_THAT(Share(MakeKeyRoster(attempt_.keys)), StatusIs(kDenied, HasSubstr("5 sites, expected 6 to 7")));
  EXPECT_THAT(Share(""), StatusIs(kDenied, HasSubstr("0 sites")));
}

TEST_F(AggregationAttack, Roster_InAnotherOrder) {
  Keys();
  const std::string swapped =
      Edited<v1::KeyRoster>(attempt_.key_roster, [](v1::KeyRoster& m) { m.mutable_keys()->SwapElements(1, 2); });
  EXPECT_THAT(Share(swapped), StatusIs(kDenied, HasSubstr("not sorted")));
}

// Terms under which the others' values would not be safe: a manifest that a site must not run, whoever approved it.
TEST_F(AggregationAttack, Terms_TooWeak) {
  const auto refused = [&](const std::string& text) {
    EXPECT_THAT(KeysMessage(attempt_.terms, "site-a", *NewSecrets(attempt_.terms.session), SignerOf(0)),
                StatusIs(kDenied, HasSubstr(text)));
  };
  const Terms terms = attempt_.terms;
  attempt_.terms.threshold = 5;
  refused("threshold is 5, expected 6 to 7");
  attempt_.terms.threshold = 8;
  refused("threshold is 8");
  attempt_.terms = terms;
  attempt_.terms.roster.resize(2);
  refused("2 sites, expected 3 to 200");
  attempt_.terms = terms;
  attempt_.terms.roster[1].key_sha256 = attempt_.terms.roster[2].key_sha256;  // one hospital under two names
  refused("'site-c'");
  attempt_.terms = terms;
  attempt_.terms.roster[1].site = "site-a";
  refused("twice");
  attempt_.terms = terms;
  attempt_.terms.roster[1].key_sha256 = "";
  refused("no key for 'site-b'");
  attempt_.terms = terms;
  attempt_.terms.roster.erase(attempt_.terms.roster.begin());
  refused("no site 'site-a'");
}

// ---- Replay ----

TEST_F(AggregationAttack, Replay_KeysOfAnotherSession) {
  Keys();
  const v1::AggregationSession session = attempt_.terms.session;
  std::vector<v1::AggregationSession> others(5, session);
  others[0].set_attempt(2);
  others[1].set_round(2);
  others[2].set_manifest_sha256(Sha256Hex("another"));
  others[3].set_question_sha256(Sha256Hex("another"));
  others[4].set_protocol(2);
  for (const v1::AggregationSession& other : others) {
    ExpectKeysRefused(SignedKeys(other, "site-c", SignerOf(2)), kDenied, "another study, round or attempt");
  }
}

TEST_F(AggregationAttack, Replay_SecretsOfAnotherSession) {
  Keys();
  attempt_.terms.session.set_attempt(2);
  const auto refused = StatusIs(kDenied, HasSubstr("kept secrets"));
  EXPECT_THAT(KeysMessage(attempt_.terms, "site-a", attempt_.secrets["site-a"], SignerOf(0)), refused);
  EXPECT_THAT(Share(attempt_.key_roster), refused);
  EXPECT_THAT(Mask(""), refused);
  EXPECT_THAT(Unmask("", ""), refused);
}

TEST_F(AggregationAttack, Replay_SharesAndSurvivorsOfAnotherSession) {
  Shares();
  attempt_.Consistency(attempt_.Sites()).Unmask(attempt_.Sites());
  const Attempt before = attempt_;
  Shares();  // new keys: another session
  EXPECT_THAT(Mask(before.for_site.at("site-a")), StatusIs(kDenied, HasSubstr("another session")));
  EXPECT_THAT(Consist(before.survivors), StatusIs(kDenied, HasSubstr("another session")));
  EXPECT_THAT(Unmask(before.survivors, before.signatures), StatusIs(kDenied, HasSubstr("another session")));
  EXPECT_THAT(CheckShares(attempt_.terms, "site-a", attempt_.key_roster, before.shares.at("site-a")),
              StatusIs(kInvalid, HasSubstr("another session")));
  attempt_.Consistency(attempt_.Sites());
  EXPECT_THAT(CheckConsistency(attempt_.terms, "site-a", attempt_.survivors, before.consistency.at("site-a")),
              StatusIs(kInvalid, HasSubstr("another set")));
  EXPECT_THAT(Unmask(attempt_.survivors, before.signatures), StatusIs(kDenied, HasSubstr("another set")));
  EXPECT_THAT(CheckUnmasking(attempt_.terms, "site-a", attempt_.key_roster, attempt_.survivors, before.unmaskings.at("site-a")),
              StatusIs(kInvalid, HasSubstr("another session")));
  // Under the new session's id they are still sealed for the old.
  EXPECT_THAT(MaskWith([&](v1::SharesForSite& m) {
                v1::SharesForSite old;
                ASSERT_TRUE(old.ParseFromString(before.for_site.at("site-a")));
                *m.mutable_shares() = old.shares();
              }),
              StatusIs(kDenied, HasSubstr("cannot be opened")));
}

// ---- Two-time pads: masks never serve twice ----

TEST_F(AggregationAttack, TwoTimePad_EveryAttemptChunkAndSiteHasItsOwnMask) {
  std::set<std::string> seen;
  std::size_t made = 0;
  Attempt other(3, 2);
  Attempt one(3, 1);
  for (Attempt* attempt : {&one, &other}) {
    attempt->Keys(attempt->Sites()).Shares(attempt->Sites());
    for (const std::string& site : attempt->Sites()) {
      const std::vector<Word> masks = attempt->Masked(site, std::vector<Word>(2 * kChunkWords + 16));
      for (const std::size_t chunk : {0, 1, 2}) {
        for (std::size_t i = 0; i < 16; ++i, ++made) {
          seen.insert(std::string(reinterpret_cast<const char*>(&masks[chunk * kChunkWords + i]), sizeof(Word)));
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), made);
}

// Secrets that are used again by mistake still give other masks, when only one other site's keys are new.
TEST_F(AggregationAttack, TwoTimePad_SameSecretsInAnotherSession) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites());
  const std::vector<Word> before = attempt.Masked("site-a", std::vector<Word>(100));
  attempt.Keys({"site-c"}).Shares(attempt.Sites());
  const std::vector<Word> after = attempt.Masked("site-a", std::vector<Word>(100));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_FALSE(before[i] == after[i]);
}

}  // namespace
}  // namespace attune::aggregation

// SPDX-License-Identifier: Apache-2.0
//
// Attacks on the later steps of secure aggregation, shares, survivors and unmasking, and garbage; each must fail. README.md in
// common/security has the table that these names are in.
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

// ---- Sealed shares on their way through the coordinator ----

TEST_F(AggregationAttack, SealedShares_Tampered) {
  Shares();
  for (const std::size_t byte : {std::size_t{0}, std::size_t{40}, std::size_t{95}}) {
    EXPECT_THAT(MaskWith([&](v1::SharesForSite& m) {
                  std::string& sealed = *m.mutable_shares(3)->mutable_sealed();
                  sealed[byte] = static_cast<char>(sealed[byte] ^ 1);
                }),
                StatusIs(kDenied, AllOf(HasSubstr("'site-d'"), HasSubstr("cannot be opened"))));
  }
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) { m.mutable_shares(3)->set_sealed(""); }),
              StatusIs(kDenied, HasSubstr("'site-d'")));
}

TEST_F(AggregationAttack, SealedShares_Swapped) {
  Shares();
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) { m.mutable_shares()->SwapElements(2, 3); }),
              StatusIs(kDenied, HasSubstr("in the place of the shares of 'site-c'")));
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) {
                m.mutable_shares(2)->mutable_sealed()->swap(*m.mutable_shares(3)->mutable_sealed());
              }),
              StatusIs(kDenied, HasSubstr("'site-c': what was sealed cannot be opened")));
}

// Those for site-b, given to site-a as they are and under its name; and site-a's own, sent back to it as if site-b's.
TEST_F(AggregationAttack, SealedShares_Redirected) {
  Shares();
  EXPECT_THAT(Mask(attempt_.for_site["site-b"]), StatusIs(kDenied, HasSubstr("for 'site-b'")));
  v1::SharesForSite others;
  ASSERT_TRUE(others.ParseFromString(attempt_.for_site["site-b"]));
  EXPECT_THAT(MaskWith([&](v1::SharesForSite& m) { *m.mutable_shares(2) = others.shares(2); }),
              StatusIs(kDenied, HasSubstr("to 'site-b'")));
  EXPECT_THAT(MaskWith([&](v1::SharesForSite& m) { m.mutable_shares(2)->set_sealed(others.shares(2).sealed()); }),
              StatusIs(kDenied, HasSubstr("cannot be opened")));
  EXPECT_THAT(MaskWith([&](v1::SharesForSite& m) { m.mutable_shares(1)->set_sealed(others.shares(0).sealed()); }),
              StatusIs(kDenied, HasSubstr("cannot be opened")));
}

TEST_F(AggregationAttack, SealedShares_MissingOrTooMany) {
  Shares();
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) { m.mutable_shares()->RemoveLast(); }),
              StatusIs(kInvalid, HasSubstr("6 sites, expected 7")));
  const auto keep = [](int from, int count) {
    return [from, count](v1::SharesForSite& m) {
      m.mutable_shares()->DeleteSubrange(from, count);
      m.mutable_sharers()->DeleteSubrange(from, count);
    };
  };
  EXPECT_OK(MaskWith(keep(6, 1)));
  EXPECT_THAT(MaskWith(keep(5, 2)), StatusIs(kDenied, HasSubstr("only 5 sites")));
  EXPECT_THAT(MaskWith(keep(0, 1)), StatusIs(kDenied, HasSubstr("own shares")));
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) { m.set_sharers(1, "site-a"); }), StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(MaskWith([](v1::SharesForSite& m) { m.set_sharers(6, "site-x"); }),
              StatusIs(kInvalid, HasSubstr("not on the key roster")));
}

TEST_F(AggregationAttack, Shares_CoordinatorRefusesWhatNobodyCouldUse) {
  Shares();
  const auto check = [&](const std::function<void(v1::SharesFromSite&)>& change) {
    return CheckShares(attempt_.terms, "site-c", attempt_.key_roster,
                       Edited<v1::SharesFromSite>(attempt_.shares["site-c"], change));
  };
  EXPECT_THAT(check([](v1::SharesFromSite& m) { m.mutable_shares()->RemoveLast(); }), StatusIs(kInvalid, HasSubstr("6 sites")));
  EXPECT_THAT(check([](v1::SharesFromSite& m) { m.mutable_shares(1)->set_to("site-a"); }),
              StatusIs(kInvalid, HasSubstr("'site-b'")));
  EXPECT_THAT(check([](v1::SharesFromSite& m) { m.mutable_shares(1)->set_from("site-d"); }),
              StatusIs(kInvalid, HasSubstr("'site-b'")));
  EXPECT_THAT(check([](v1::SharesFromSite& m) { m.mutable_shares(1)->set_sealed("x"); }),
              StatusIs(kInvalid, HasSubstr("96 bytes")));
  EXPECT_THAT(check([](v1::SharesFromSite& m) { m.set_site("site-d"); }), StatusIs(kInvalid, HasSubstr("another site")));
  EXPECT_THAT(CheckShares(attempt_.terms, "site-x", attempt_.key_roster, attempt_.shares["site-c"]),
              StatusIs(kDenied, HasSubstr("not on the key roster")));
}

// ---- Who survived: told differently to different sites ----

TEST_F(AggregationAttack, Survivors_NotWhoDeliveredShares) {
  attempt_.Keys(attempt_.Sites()).Shares({"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"});
  const std::vector<std::string> sharers = {"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"};
  EXPECT_THAT(MakeSurvivors(attempt_.key_roster, sharers, attempt_.Sites()), StatusIs(kInvalid, HasSubstr("'site-g'")));
  const std::string good = *MakeSurvivors(attempt_.key_roster, sharers, sharers);
  EXPECT_OK(Consist(good));
  EXPECT_THAT(Consist(Edited<v1::Survivors>(good, [](v1::Survivors& m) { m.add_survivors("site-g"); })),
              StatusIs(kDenied, HasSubstr("'site-g' is said to have survived")));
  // Sharers that this site was not told of when it masked.
  EXPECT_THAT(Consist(Edited<v1::Survivors>(good, [](v1::Survivors& m) { m.add_sharers("site-g"); })),
              StatusIs(kDenied, HasSubstr("not those that this site was told")));
  EXPECT_THAT(Consist(Edited<v1::Survivors>(good, [](v1::Survivors& m) { m.add_survivors("site-x"); })),
              StatusIs(kInvalid, HasSubstr("'site-x'")));
}

TEST_F(AggregationAttack, Survivors_TooFewTwiceOrWithoutThisSite) {
  Shares();
  EXPECT_THAT(Consist(SurvivorsOf({"site-a", "site-b", "site-c", "site-d", "site-e"})),
              StatusIs(kDenied, HasSubstr("only 5 sites")));
  EXPECT_THAT(Consist(SurvivorsOf(attempt_.Sites(1))), StatusIs(kDenied, HasSubstr("lack this site")));
  EXPECT_THAT(
      Consist(Edited<v1::Survivors>(SurvivorsOf(attempt_.Sites()), [](v1::Survivors& m) { m.set_survivors(1, "site-a"); })),
      StatusIs(kInvalid, HasSubstr("twice")));
}

// Of all seven, and of six: what half of the sites sign never counts for the other half, so that at no set both shares of
// site-g come together.
TEST_F(AggregationAttack, SplitView_SignaturesOnDifferentSets) {
  Shares();
  const std::string all = SurvivorsOf(attempt_.Sites());
  const std::string six = SurvivorsOf({"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"});
  auto on_all = SignaturesOn(all, {"site-a", "site-b", "site-c", "site-g"});
  auto on_six = SignaturesOn(six, {"site-d", "site-e", "site-f"});
  EXPECT_THAT(Unmask(all, MakeSurvivorSignatures(on_all)), StatusIs(kDenied, HasSubstr("only 4 sites")));
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(on_six)), StatusIs(kDenied, HasSubstr("only 3 sites")));
  std::map<std::string, std::string> together = on_all;
  together.insert(on_six.begin(), on_six.end());
  EXPECT_THAT(Unmask(all, MakeSurvivorSignatures(together)), StatusIs(kDenied, HasSubstr("another set")));
  // Relabelled, the signature does not hold.
  together["site-d"] = Edited<v1::Signed>(together["site-d"], [&](v1::Signed& m) { m.set_payload(all); });
  together.erase("site-e");
  together.erase("site-f");
  EXPECT_THAT(Unmask(all, MakeSurvivorSignatures(together)),
              StatusIs(kDenied, AllOf(HasSubstr("'site-d'"), HasSubstr("not signed"))));
}

TEST_F(AggregationAttack, Signatures_TooFewTwiceOrByOthers) {
  Shares();
  const std::string six = SurvivorsOf({"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"});
  const auto good = SignaturesOn(six, {"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"});
  EXPECT_OK(Unmask(six, MakeSurvivorSignatures(good)));
  auto some = good;
  some.erase("site-c");
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(some)), StatusIs(kDenied, HasSubstr("only 5 sites signed")));
  EXPECT_THAT(Unmask(six, ""), StatusIs(kDenied, HasSubstr("only 0 sites signed")));
  some["site-c"] = good.at("site-d");
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(some)), StatusIs(kDenied, HasSubstr("twice")));
  const auto by = [&](const Signer& signer, const std::string& purpose) {
    v1::Signed message;
    message.set_payload(six);
    message.set_certificate_pem(signer.certificate_pem);
    message.set_signature(*Sign(signer.key_pem, purpose, six));
    return message.SerializeAsString();
  };
  some["site-c"] = by(SignerOf(6), "attune survivors");  // on the roster, but not a survivor
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(some)), StatusIs(kDenied, HasSubstr("no survivor")));
  some["site-c"] = by(NewSigner("site-c"), "attune survivors");
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(some)), StatusIs(kDenied, HasSubstr("no survivor")));
  some["site-c"] = by(SignerOf(2), "attune keys");
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(some)), StatusIs(kDenied, HasSubstr("not signed")));
  EXPECT_THAT(CheckConsistency(attempt_.terms, "site-c", six, some["site-c"]), StatusIs(kDenied, HasSubstr("not signed")));
  EXPECT_THAT(CheckConsistency(attempt_.terms, "site-c", six, good.at("site-d")), StatusIs(kDenied, HasSubstr("not signed")));
  EXPECT_THAT(CheckConsistency(attempt_.terms, "site-g", six, by(SignerOf(6), "attune survivors")),
              StatusIs(kDenied, HasSubstr("did not survive")));
  auto many = good;
  many["site-h"] = good.at("site-a");
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(many)), StatusIs(kInvalid, HasSubstr("7 signatures")));
}

// ---- Both secrets of one site ----

// What a site says never holds both shares of another, and the coordinator takes no such message.
TEST_F(AggregationAttack, BothShares_OneOfTwo) {
  Shares();
  const std::vector<std::string> six = {"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"};
  attempt_.Consistency(six).Unmask(six);
  v1::Unmasking message;
  ASSERT_TRUE(message.ParseFromString(attempt_.unmaskings["site-a"]));
  ASSERT_EQ(message.shares_size(), 7);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(message.shares(i).has_seed_share(), i < 6);
    EXPECT_EQ(message.shares(i).has_masking_key_share(), i == 6);
  }
  const auto refused = [&](const std::function<void(v1::Unmasking&)>& change, const std::string& text) {
    const std::string changed = Edited<v1::Unmasking>(attempt_.unmaskings["site-a"], change);
    EXPECT_THAT(CheckUnmasking(attempt_.terms, "site-a", attempt_.key_roster, attempt_.survivors, changed),
                StatusIs(kInvalid, HasSubstr(text)));
    auto all = attempt_.unmaskings;
    all["site-a"] = changed;
    EXPECT_THAT(Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, all),
                StatusIs(kInvalid, HasSubstr(text)));
  };
  refused([](v1::Unmasking& m) { *m.add_shares() = m.shares(6); }, "revealed 8 shares");
  refused([](v1::Unmasking& m) { m.mutable_shares()->RemoveLast(); }, "revealed 6 shares");
  refused([](v1::Unmasking& m) { m.mutable_shares(1)->set_masking_key_share(std::string(32, 'x')); }, "the seed of 'site-b'");
  refused([](v1::Unmasking& m) { m.mutable_shares(6)->set_seed_share(std::string(32, 'x')); }, "the masking key of 'site-g'");
  refused([](v1::Unmasking& m) { m.mutable_shares(1)->set_of("site-a"); }, "'site-b'");
  refused([](v1::Unmasking& m) { m.mutable_shares(1)->set_seed_share("short"); }, "'site-b'");
  refused([](v1::Unmasking& m) { m.set_site("site-b"); }, "another site");
  EXPECT_THAT(
      CheckUnmasking(attempt_.terms, "site-g", attempt_.key_roster, attempt_.survivors,
                     Edited<v1::Unmasking>(attempt_.unmaskings["site-a"], [](v1::Unmasking& m) { m.set_site("site-g"); })),
      StatusIs(kDenied, HasSubstr("did not survive")));
}

// Two sets that both unmask would need more signatures than there are sites, each of which signs one set.
TEST_F(AggregationAttack, BothShares_TwoQuorums) {
  Shares();
  const std::string all = SurvivorsOf(attempt_.Sites());
  const std::string six = SurvivorsOf({"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"});
  for (unsigned who = 0; who < 128; ++who) {
    const unsigned on_all = static_cast<unsigned>(std::popcount(who));
    EXPECT_FALSE(on_all >= attempt_.terms.threshold && 7 - on_all >= attempt_.terms.threshold);
  }
  // Also with two sites that sign whatever they are asked to.
  const auto on_all = SignaturesOn(all, {"site-a", "site-b", "site-c", "site-f", "site-g"});
  const auto on_six = SignaturesOn(six, {"site-d", "site-e", "site-f", "site-a"});
  EXPECT_THAT(Unmask(all, MakeSurvivorSignatures(on_all)), StatusIs(kDenied, HasSubstr("only 5")));
  EXPECT_THAT(Unmask(six, MakeSurvivorSignatures(on_six)), StatusIs(kDenied, HasSubstr("only 4")));
}

// ---- False shares ----

TEST_F(AggregationAttack, FalseShare_NamesWhoseSecretItIs) {
  Shares();
  const std::vector<std::string> six = {"site-a", "site-b", "site-c", "site-d", "site-e", "site-f"};
  attempt_.Consistency(six).Unmask(six);
  const auto create = [&](int share) {
    auto all = attempt_.unmaskings;
    all["site-b"] = Edited<v1::Unmasking>(all["site-b"], [&](v1::Unmasking& m) {
      std::string& value =
          share == 6 ? *m.mutable_shares(share)->mutable_masking_key_share() : *m.mutable_shares(share)->mutable_seed_share();
      value[7] = static_cast<char>(value[7] ^ 0x20);
    });
    return Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, all);
  };
  EXPECT_THAT(create(2), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("the seed of 'site-c'"), HasSubstr("false"))));
  EXPECT_THAT(create(6), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("the masking key of 'site-g'")));
}

TEST_F(AggregationAttack, FalseShare_OneDoesNoHarmWhereThereIsOneMoreThanNeeded) {
  Shares();
  attempt_.Consistency(attempt_.Sites()).Unmask(attempt_.Sites());
  for (const char* liar : {"site-a", "site-d", "site-g"}) {
    auto all = attempt_.unmaskings;
    all[liar] = Edited<v1::Unmasking>(all[liar], [](v1::Unmasking& m) {
      for (v1::RevealedShare& share : *m.mutable_shares()) share.set_seed_share(std::string(32, 'x'));
    });
    const auto honest = Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, attempt_.unmaskings);
    const auto attacked = Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, all);
    ASSERT_OK(honest);
    ASSERT_OK(attacked);
    std::vector<Word> expected(5), words(5);
    honest->RemoveMasks(0, {expected.data(), 5});
    attacked->RemoveMasks(0, {words.data(), 5});
    EXPECT_TRUE(words == expected);
  }
}

// A site that masks with another seed than it committed to, and shares that one, is found by its commitment.
TEST_F(AggregationAttack, FalseShare_OtherSeedThanCommitted) {
  Keys();
  v1::SessionSecrets secrets = attempt_.secrets["site-c"];
  secrets.set_seed(std::string(32, 's'));
  EXPECT_THAT(SharesMessage(attempt_.terms, "site-c", secrets, attempt_.key_roster),
              StatusIs(kDenied, HasSubstr("other keys")));
  // A program of its own would not check: its commitment is false from the start.
  attempt_.keys["site-c"] = Resigned(attempt_.keys["site-c"], SignerOf(2),
                                     [](v1::SiteKeys& keys) { keys.set_seed_commitment(std::string(32, 'c')); });
  attempt_.key_roster = MakeKeyRoster(attempt_.keys);
  std::vector<std::string> honest = attempt_.Sites();
  honest.erase(honest.begin() + 2);
  attempt_.Shares(honest);
  const std::string session_id = absl::HexStringToBytes(Sha256Hex(attempt_.key_roster));
  const auto of_seed = *SplitSecret(*SecretBytes::Random(), 6, 7);
  v1::SharesFromSite message;
  message.set_session_id(session_id);
  message.set_site("site-c");
  for (int i = 0; i < 7; ++i) {
    const std::string use = UseOfKey("share", "site-c", NameOf(i), 0);
    const SecretBytes own = *SecretBytes::From(attempt_.secrets["site-c"].sealing_private_key());
    const SecretBytes to = *SecretBytes::From(attempt_.secrets[NameOf(i)].sealing_private_key());
    v1::SecretShares shares;
    shares.set_masking_key_share(std::string(32, 'm'));
    shares.set_seed_share(std::string(of_seed[static_cast<std::size_t>(i)].view()));
    v1::SealedShares& one = *message.add_shares();
    one.set_from("site-c");
    one.set_to(NameOf(i));
    one.set_sealed(
        *Seal(*DeriveKey(*Agree(own, *PublicKeyOf(to)), session_id, use), shares.SerializeAsString(), session_id + use));
  }
  attempt_.shares["site-c"] = message.SerializeAsString();
  for (const std::string& site : honest) attempt_.for_site[site] = *MakeSharesForSite(site, attempt_.shares);
  const std::string all = SurvivorsOf(attempt_.Sites());
  attempt_.survivors = all;
  attempt_.signatures = MakeSurvivorSignatures(SignaturesOn(all, honest));
  attempt_.Unmask(honest);
  EXPECT_THAT(Unmasker::Create(attempt_.terms, attempt_.key_roster, all, attempt_.unmaskings),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("the seed of 'site-c'")));
}

// ---- Collusion ----

TEST_F(AggregationAttack, Collusion_OneShareTooFew) {
  Shares();
  attempt_.Consistency(attempt_.Sites()).Unmask(attempt_.Sites());
  attempt_.unmaskings.erase("site-a");
  EXPECT_OK(Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, attempt_.unmaskings));
  attempt_.unmaskings.erase("site-b");
  EXPECT_THAT(Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, attempt_.unmaskings),
              StatusIs(kInvalid, HasSubstr("5 unmasking messages, expected at least 6")));
  // Five sites put the shares of site-a's seed together by themselves: what they get has nothing to do with it.
  std::vector<attune::Share> shares;
  for (const auto& [site, bytes] : attempt_.unmaskings) {
    v1::Unmasking message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    shares.push_back({.point = static_cast<std::uint8_t>(site.back() - 'a' + 1),
                      .value = *SecretBytes::From(message.shares(0).seed_share())});
  }
  ASSERT_EQ(shares.size(), 5u);
  const SecretBytes guess = CombineShares(shares);
  const SecretBytes seed = *SecretBytes::From(attempt_.secrets["site-a"].seed());
  int different_bits = 0;
  for (std::size_t i = 0; i < 32; ++i) different_bits += std::popcount(static_cast<unsigned char>(guess[i] ^ seed[i]));
  EXPECT_GT(different_bits, 80);  // of 256
}

// All but two sites work with the coordinator: of these two they learn the sum, which the pooled result tells anyway, no more.
TEST_F(AggregationAttack, Collusion_AllButTwoAndTheCoordinator) {
  Shares();
  const std::string session_id = absl::HexStringToBytes(Sha256Hex(attempt_.key_roster));
  const std::vector<Word> a = RandomWords(64, 1), b = RandomWords(64, 2);
  std::vector<std::vector<Word>> masked = {attempt_.Masked("site-a", a), attempt_.Masked("site-b", b)};
  for (std::size_t victim = 0; victim < 2; ++victim) {
    const std::string name = NameOf(static_cast<int>(victim));
    // Known after unmasking: its seed. Known to the colluders: what each of them agreed on with it.
    std::vector<attune::aggregation::Mask> known = {SelfMask(*SecretBytes::From(attempt_.secrets[name].seed()), name, true)};
    const std::string public_key = *PublicKeyOf(*SecretBytes::From(attempt_.secrets[name].masking_private_key()));
    for (int i = 2; i < 7; ++i) {
      const SecretBytes colluder = *SecretBytes::From(attempt_.secrets[NameOf(i)].masking_private_key());
      known.push_back(PairMask(*Agree(colluder, public_key), name, NameOf(i), /*removed=*/true));
    }
    ApplyMasks(session_id, known, 0, {masked[victim].data(), 64});
  }
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_FALSE(masked[0][i] == a[i]);
    EXPECT_FALSE(masked[1][i] == b[i]);
    EXPECT_TRUE(masked[0][i] + masked[1][i] == a[i] + b[i]);
  }
}

// ---- Mistakes of other programs (reference, section 4.6) ----

// Every one of the 256 bits of a secret changes the mask everywhere: no search of 2^32 finds it.
TEST_F(AggregationAttack, WeakSeed_EveryBitOfTheSecretCounts) {
  const SecretBytes secret = *SecretBytes::Random();
  const auto mask_of = [](const SecretBytes& seed) {
    std::vector<Word> words(8);
    ApplyMasks("session", {SelfMask(seed, "site-a", false)}, 0, {words.data(), words.size()});
    return words;
  };
  const std::vector<Word> mask = mask_of(secret);
  for (int bit = 0; bit < 256; ++bit) {
    SecretBytes other = secret;
    other[static_cast<std::size_t>(bit / 8)] =
        static_cast<unsigned char>(other[static_cast<std::size_t>(bit / 8)] ^ (1 << bit % 8));
    const std::vector<Word> changed = mask_of(other);
    int different = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_FALSE(changed[i] == mask[i]) << bit;
      const Word both = changed[i] ^ mask[i];
      different += std::popcount(static_cast<std::uint64_t>(both >> 64)) + std::popcount(static_cast<std::uint64_t>(both));
    }
    EXPECT_NEAR(different, 512, 112) << bit;  // of 1024: seven standard deviations
  }
}

// The extremes of the ring come back as they are, and sums wrap as they must: nothing is clipped to a range.
TEST_F(AggregationAttack, Clipping_NoValueIsChanged) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites()).Consistency(attempt.Sites()).Unmask(attempt.Sites());
  const std::vector<Word> extremes = {0, 1, ~Word{0}, Word{1} << 127, ~(Word{1} << 127), Word{9} << 60, ~Word{0} << 64};
  std::vector<Word> sum(extremes.size());
  for (const std::string& site : attempt.Sites()) {
    const std::vector<Word> masked = attempt.Masked(site, extremes);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += masked[i];
  }
  const auto unmasker = Unmasker::Create(attempt.terms, attempt.key_roster, attempt.survivors, attempt.unmaskings);
  ASSERT_OK(unmasker);
  unmasker->RemoveMasks(0, {sum.data(), sum.size()});
  for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_TRUE(sum[i] == 3 * extremes[i]) << i;
}

// A site that left before SHARES is no sharer: nobody is asked for a share of it that nobody has.
TEST_F(AggregationAttack, EarlyDropout_IsNotAskedFor) {
  const std::vector<std::string> six = {"site-b", "site-c", "site-d", "site-e", "site-f", "site-g"};
  attempt_.Keys(attempt_.Sites()).Shares(six).Consistency(six).Unmask(six);
  EXPECT_OK(Unmasker::Create(attempt_.terms, attempt_.key_roster, attempt_.survivors, attempt_.unmaskings));
  EXPECT_THAT(MakeSharesForSite("site-a", attempt_.shares), StatusIs(kInvalid, HasSubstr("delivered no shares")));
}

// ---- Garbage ----

// Every message cut anywhere, and with any byte changed, is refused or read as something harmless; nothing crashes.
TEST_F(AggregationAttack, Garbage_CutAndChangedMessages) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites()).Consistency(attempt.Sites()).Unmask(attempt.Sites());
  const Terms& terms = attempt.terms;
  const auto& secrets = attempt.secrets["site-a"];
  const std::string &roster = attempt.key_roster, &shares = attempt.for_site["site-a"], &survivors = attempt.survivors;
  const std::vector<std::pair<std::string, std::function<absl::Status(const std::string&)>>> readers = {
      {attempt.keys["site-b"], [&](const std::string& m) { return CheckKeys(terms, "site-b", m); }},
      {roster, [&](const std::string& m) { return SharesMessage(terms, "site-a", secrets, m).status(); }},
      {attempt.shares["site-b"], [&](const std::string& m) { return CheckShares(terms, "site-b", roster, m); }},
      {shares, [&](const std::string& m) { return Masker::Create(terms, "site-a", secrets, roster, m).status(); }},
      {survivors,
       [&](const std::string& m) { return ConsistencyMessage(terms, "site-a", roster, shares, m, SignerOf(0)).status(); }},
      {attempt.consistency["site-b"], [&](const std::string& m) { return CheckConsistency(terms, "site-b", survivors, m); }},
      {attempt.signatures,
       [&](const std::string& m) { return UnmaskingMessage(terms, "site-a", secrets, roster, shares, survivors, m).status(); }},
      {attempt.unmaskings["site-b"],
       [&](const std::string& m) { return CheckUnmasking(terms, "site-b", roster, survivors, m); }},
  };
  std::mt19937 random(1);
  for (std::size_t reader = 0; reader < readers.size(); ++reader) {
    const auto& [good, read] = readers[reader];
    EXPECT_OK(read(good)) << reader;
    for (int i = 0; i < 25; ++i) {
      EXPECT_FALSE(read(good.substr(0, random() % good.size())).ok()) << reader;
      std::string changed = good;
      for (int byte = 0; byte < 3; ++byte) changed[random() % good.size()] = static_cast<char>(random());
      const absl::Status status = read(changed);
      EXPECT_TRUE(status.ok() || status.code() == kDenied || status.code() == kInvalid) << reader << " " << status;
      std::string noise(random() % 300, '\0');
      for (char& c : noise) c = static_cast<char>(random());
      EXPECT_FALSE(read(noise).ok()) << reader;
    }
  }
}

// An error text shows a name that somebody else chose escaped and cut.
TEST_F(AggregationAttack, Garbage_NamesInErrorTexts) {
  Keys();
  const std::string hostile = "site\n\x1b[2J" + std::string(1000, 'x');
  EXPECT_THAT(CheckKeys(attempt_.terms, "site-c", SignedKeys(attempt_.terms.session, hostile, SignerOf(2))),
              StatusIs(kDenied, AllOf(HasSubstr("site\\n\\x1b"), Not(HasSubstr(std::string(100, 'x'))))));
}

}  // namespace
}  // namespace attune::aggregation

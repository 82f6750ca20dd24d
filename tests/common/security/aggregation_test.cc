// SPDX-License-Identifier: Apache-2.0
//
// Secure aggregation without attackers: the sum, whoever drops out, and what its parts are made of.
#include "common/security/aggregation.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/escaping.h"
#include "common/security/key_agreement.h"
#include "common/security/mask_stream.h"
#include "common/security/sealing.h"
#include "tests/common/security/aggregation_attempt.h"

namespace attune::aggregation {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;
using Names = std::vector<std::string>;

constexpr std::size_t kWords = 2 * kChunkWords + 77;

SecretBytes Secret(absl::string_view hex) { return *SecretBytes::From(absl::HexStringToBytes(hex)); }

Names Without(const Names& all, const std::set<std::string>& left_out) {
  Names rest;
  for (const std::string& site : all) {
    if (left_out.count(site) == 0) rest.push_back(site);
  }
  return rest;
}

// Runs an attempt in which some sites drop out before each step. Whether what the coordinator gets is the plain sum of the
// survivors' words, bit for bit.
::testing::AssertionResult SumIsPlain(int k, const std::set<std::string>& before_keys,
                                      const std::set<std::string>& before_shares, const std::set<std::string>& before_masked,
                                      const std::set<std::string>& before_unmask, std::size_t words = 1000) {
  Attempt attempt(k);
  const Names keyed = Without(attempt.Sites(), before_keys);
  const Names sharers = Without(keyed, before_shares);
  const Names survivors = Without(sharers, before_masked);
  attempt.Keys(keyed).Shares(sharers);
  std::vector<Word> plain(words), sum(words);
  unsigned seed = 1;
  for (const std::string& site : survivors) {
    const std::vector<Word> own = RandomWords(words, seed++);
    const std::vector<Word> masked = attempt.Masked(site, own);
    for (std::size_t i = 0; i < words; ++i) {
      plain[i] += own[i];
      sum[i] += masked[i];
    }
  }
  if (sum == plain) return ::testing::AssertionFailure() << "nothing was masked";
  attempt.Consistency(survivors).Unmask(Without(survivors, before_unmask));
  const auto unmasker = Unmasker::Create(attempt.terms, attempt.key_roster, attempt.survivors, attempt.unmaskings);
  if (!unmasker.ok()) return ::testing::AssertionFailure() << unmasker.status();
  unmasker->RemoveMasks(0, {sum.data(), sum.size()});
  return sum == plain ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "another sum";
}

TEST(Aggregation, ThresholdOf_KnownAnswers) {
  for (const auto& [sites, threshold] : std::map<unsigned, unsigned>{{1, 1},
                                                                     {2, 2},
                                                                     {3, 3},
                                                                     {4, 4},
                                                                     {5, 5},
                                                                     {6, 5},
                                                                     {7, 6},
                                                                     {8, 7},
                                                                     {9, 7},
                                                                     {10, 8},
                                                                     {50, 35},
                                                                     {100, 68},
                                                                     {150, 101},
                                                                     {199, 134},
                                                                     {200, 135}}) {
    EXPECT_EQ(ThresholdOf(sites), threshold) << sites;
  }
}

// Of any two sets of signers, an honest site is in both, also when a third of all sites signs whatever it is asked to.
TEST(Aggregation, ThresholdOf_TwoQuorumsShareAnHonestSite) {
  for (unsigned k = 3; k <= kMostSites; ++k) EXPECT_GT(2 * ThresholdOf(k), k + k / 3) << k;
}

TEST(Aggregation, Sum_IsThePlainSum) {
  for (const int k : {3, 5, 7}) EXPECT_TRUE(SumIsPlain(k, {}, {}, {}, {}, kWords)) << k;
}

TEST(Aggregation, Sum_DropsBeforeMasked) {
  EXPECT_TRUE(SumIsPlain(6, {}, {}, {"site-a"}, {}));
  EXPECT_TRUE(SumIsPlain(7, {}, {}, {"site-d"}, {}, kWords));
  EXPECT_TRUE(SumIsPlain(7, {}, {}, {"site-g"}, {}));
  EXPECT_TRUE(SumIsPlain(10, {}, {}, {"site-a", "site-j"}, {}));
}

TEST(Aggregation, Sum_DropsBeforeUnmask) {
  EXPECT_TRUE(SumIsPlain(7, {}, {}, {}, {"site-a"}));
  EXPECT_TRUE(SumIsPlain(10, {}, {}, {}, {"site-e", "site-f"}));
}

// Nobody holds a share of these, and nobody's mask counts them.
TEST(Aggregation, Sum_DropsBeforeKeysAndShares) {
  EXPECT_TRUE(SumIsPlain(7, {"site-b"}, {}, {}, {}));
  EXPECT_TRUE(SumIsPlain(7, {}, {"site-b"}, {}, {}));
  EXPECT_TRUE(SumIsPlain(10, {"site-a"}, {"site-c"}, {}, {}));
  EXPECT_TRUE(SumIsPlain(10, {"site-a"}, {}, {"site-i"}, {}));
  EXPECT_TRUE(SumIsPlain(15, {"site-a"}, {"site-e"}, {"site-i"}, {"site-m"}));
}

// A site that was killed goes on with what it kept.
TEST(Aggregation, Restart_SameSecretsSameMasks) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites());
  const std::vector<Word> once = attempt.Masked("site-a", std::vector<Word>(100));
  v1::SessionSecrets kept;
  ASSERT_TRUE(kept.ParseFromString(attempt.secrets["site-a"].SerializeAsString()));
  attempt.secrets["site-a"] = kept;
  EXPECT_TRUE(attempt.Masked("site-a", std::vector<Word>(100)) == once);
}

TEST(Aggregation, Messages_OfTheCoordinatorAreTheSameAgain) {
  Attempt attempt(4);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites()).Consistency(attempt.Sites());
  EXPECT_EQ(MakeKeyRoster(attempt.keys), attempt.key_roster);
  EXPECT_EQ(*MakeSharesForSite("site-a", attempt.shares), attempt.for_site["site-a"]);
  EXPECT_EQ(
      *MakeSurvivors(attempt.key_roster, {"site-d", "site-b", "site-a", "site-c"}, {"site-c", "site-b", "site-d", "site-a"}),
      attempt.survivors);
  EXPECT_EQ(MakeSurvivorSignatures(attempt.consistency), attempt.signatures);
}

TEST(Aggregation, Secrets_AreFreshAndWiped) {
  Attempt attempt(3);
  v1::SessionSecrets one = *NewSecrets(attempt.terms.session);
  const v1::SessionSecrets other = *NewSecrets(attempt.terms.session);
  const std::set<std::string> all = {one.seed(),   one.sealing_private_key(),   one.masking_private_key(),
                                     other.seed(), other.sealing_private_key(), other.masking_private_key()};
  EXPECT_EQ(all.size(), 6u);
  for (const std::string& secret : all) EXPECT_EQ(secret.size(), 32u);
  WipeSecrets(one);
  EXPECT_EQ(one.seed() + one.sealing_private_key() + one.masking_private_key(), "");
  EXPECT_FALSE(KeysMessage(attempt.terms, "site-a", one, SignerOf(0)).ok());
}

TEST(Aggregation, Wipe_OverwritesTheMemory) {
  std::string text(40, 'x');
  const char* const memory = text.data();
  Wipe(text);
  EXPECT_EQ(std::string(memory + 1, 39), std::string(39, '\0'));  // the first holds the end of the empty text
}

// Bits of every place of a word, over many words: each set in half of them (five standard deviations).
TEST(Aggregation, Masks_EveryBitIsUniform) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites());
  constexpr std::size_t kCount = 40'000;
  const std::vector<Word> masked = attempt.Masked("site-b", std::vector<Word>(kCount));
  for (int bit = 0; bit < 128; ++bit) {
    const auto set = std::count_if(masked.begin(), masked.end(), [&](Word word) { return (word >> bit & 1) != 0; });
    EXPECT_NEAR(static_cast<double>(set), kCount / 2.0, 5 * std::sqrt(kCount / 4.0)) << bit;
  }
}

// The whole range of the highest and of the lowest byte, chi-square with 255 degrees of freedom below its 1 - 1e-7 quantile.
TEST(Aggregation, Masks_EveryByteIsUniform) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites());
  constexpr std::size_t kCount = 60'000;
  const std::vector<Word> masked = attempt.Masked("site-a", std::vector<Word>(kCount, Word{42}));
  for (const int shift : {0, 120}) {
    std::vector<double> seen(256);
    for (const Word word : masked) seen[static_cast<std::uint8_t>(word >> shift)] += 1;
    double chi_square = 0;
    for (const double count : seen) chi_square += (count - kCount / 256.0) * (count - kCount / 256.0) / (kCount / 256.0);
    EXPECT_LT(chi_square, 390) << shift;
    EXPECT_GT(chi_square, 150) << shift;
  }
}

TEST(KeyAgreement, X25519_Rfc7748) {
  const SecretBytes scalar = Secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
  const std::string point = absl::HexStringToBytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  ASSERT_OK_AND_ASSIGN(const SecretBytes product, Agree(scalar, point));
  EXPECT_EQ(absl::BytesToHexString(product.view()), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  // Section 6.1: the secrets of two, and what they agree on.
  const SecretBytes alice = Secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const SecretBytes bob = Secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(absl::BytesToHexString(*PublicKeyOf(alice)), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(absl::BytesToHexString(*PublicKeyOf(bob)), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  ASSERT_OK_AND_ASSIGN(const SecretBytes agreed, Agree(alice, *PublicKeyOf(bob)));
  EXPECT_EQ(absl::BytesToHexString(agreed.view()), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST(KeyAgreement, Agree_BothGetTheSame) {
  const SecretBytes a = *SecretBytes::Random();
  const SecretBytes b = *SecretBytes::Random();
  ASSERT_OK_AND_ASSIGN(const SecretBytes ab, Agree(a, *PublicKeyOf(b)));
  ASSERT_OK_AND_ASSIGN(const SecretBytes ba, Agree(b, *PublicKeyOf(a)));
  EXPECT_TRUE(ab.SameAs(ba));
  EXPECT_FALSE(ab.SameAs(a));
}

TEST(KeyAgreement, Agree_LowOrderAndOtherSizes) {
  const SecretBytes a = *SecretBytes::Random();
  // The points of order 1, 2, 4 and 8, and two that are not reduced.
  for (const char* hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                          "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_THAT(Agree(a, absl::HexStringToBytes(hex)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("low order")))
        << hex;
  }
  for (const std::size_t size : {0, 31, 33}) {
    EXPECT_THAT(Agree(a, std::string(size, 'x')), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 32")));
  }
}

TEST(KeyAgreement, Hkdf_Rfc5869) {
  const auto hkdf = [](const std::string& secret, const std::string& salt, const std::string& info, std::size_t size) {
    std::string out(size, '\0');
    EXPECT_OK(HkdfSha256(absl::HexStringToBytes(secret), absl::HexStringToBytes(salt), absl::HexStringToBytes(info),
                         {reinterpret_cast<unsigned char*>(out.data()), size}));
    return absl::BytesToHexString(out);
  };
  EXPECT_EQ(hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "", 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

// The border between two names counts: "ab" and "c" is another use than "a" and "bc".
TEST(KeyAgreement, UseOfKey_NoTwoAlike) {
  const std::set<std::string> uses = {
      UseOfKey("mask", "ab", "c", 0), UseOfKey("mask", "a", "bc", 0),  UseOfKey("mask", "ab", "c", 1),
      UseOfKey("mask", "c", "ab", 0), UseOfKey("share", "ab", "c", 0), UseOfKey("seed", "ab", "c", 0),
      UseOfKey("seed", "abc", "", 0), UseOfKey("maska", "b", "c", 0),  UseOfKey("mask", "ab", "c", std::uint64_t{1} << 32)};
  EXPECT_EQ(uses.size(), 9u);
}

// Test cases 14 and 15 of the GCM specification, by their key of zeros.
TEST(Sealing, OpenSealed_KnownAnswer) {
  const std::string sealed =
      absl::HexStringToBytes("000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
  ASSERT_OK_AND_ASSIGN(const std::string plain, OpenSealed(SecretBytes(), sealed, ""));
  EXPECT_EQ(plain, std::string(16, '\0'));
}

TEST(Sealing, Open_OnlyWithKeyContextAndEveryByte) {
  const SecretBytes key = *SecretBytes::Random();
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(key, "a secret", "for b"));
  ASSERT_OK_AND_ASSIGN(const std::string again, Seal(key, "a secret", "for b"));
  EXPECT_NE(sealed, again);
  EXPECT_EQ(sealed.size(), 8 + kSealNonceBytes + kSealTagBytes);
  EXPECT_EQ(*OpenSealed(key, sealed, "for b"), "a secret");
  EXPECT_FALSE(OpenSealed(key, sealed, "for c").ok());
  EXPECT_FALSE(OpenSealed(*SecretBytes::Random(), sealed, "for b").ok());
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(OpenSealed(key, changed, "for b").ok()) << i;
    EXPECT_FALSE(OpenSealed(key, sealed.substr(0, i), "for b").ok()) << i;
  }
}

// A mask is AES-256-CTR with a zero IV and a key of its own for each chunk, written out here once more.
TEST(MaskStream, IsAesCtrUnderTheChunksKey) {
  const SecretBytes seed = *SecretBytes::Random();
  const std::string session_id(32, 's');
  std::vector<Word> words(kChunkWords + 3);
  ApplyMasks(session_id, {SelfMask(seed, "site-a", false)}, 5 * kChunkWords, {words.data(), words.size()});
  for (const std::uint64_t chunk : {5, 6}) {
    SecretBytes key;
    ASSERT_OK(HkdfSha256(seed.view(), session_id, UseOfKey("seed", "site-a", "", chunk), {key.data(), 32}));
    const std::size_t count = chunk == 5 ? kChunkWords : 3;
    std::vector<unsigned char> stream(16 * count);
    const std::vector<unsigned char> zeros(16 * count);
    EVP_CIPHER_CTX* const cipher = EVP_CIPHER_CTX_new();
    int size = 0;
    EVP_EncryptInit_ex(cipher, EVP_aes_256_ctr(), nullptr, key.data(), zeros.data());
    EVP_EncryptUpdate(cipher, stream.data(), &size, zeros.data(), static_cast<int>(zeros.size()));
    EVP_CIPHER_CTX_free(cipher);
    for (std::size_t i = 0; i < count; ++i) {
      Word expected = 0;
      for (std::size_t byte = 16; byte-- > 0;) expected = expected << 8 | stream[16 * i + byte];
      ASSERT_TRUE(words[(chunk - 5) * kChunkWords + i] == expected) << chunk << " " << i;
    }
  }
}

TEST(MaskStream, PairMasks_Cancel) {
  const SecretBytes agreed = *SecretBytes::Random();
  std::vector<Word> words(10), zeros(10);
  const auto apply = [&](const Mask& mask) { ApplyMasks("session", {mask}, 0, {words.data(), words.size()}); };
  apply(PairMask(agreed, "a", "b", false));
  EXPECT_FALSE(words == zeros);
  apply(PairMask(agreed, "b", "a", false));
  EXPECT_TRUE(words == zeros);
  apply(PairMask(agreed, "b", "a", false));
  apply(PairMask(agreed, "b", "a", true));
  EXPECT_TRUE(words == zeros);
}

}  // namespace
}  // namespace attune::aggregation

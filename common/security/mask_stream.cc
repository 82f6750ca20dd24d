// SPDX-License-Identifier: Apache-2.0
#include "common/security/mask_stream.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/security/key_agreement.h"
#include "common/security/openssl_handles.h"

namespace attune::aggregation {
namespace {

static_assert(std::endian::native == std::endian::little, "a word of a mask is little-endian");

// Words made at a time: they and what they are added to stay in the first cache.
constexpr std::size_t kPieceWords = 512;
constexpr std::size_t kPieceBytes = kPieceWords * sizeof(Word);
alignas(64) constexpr std::array<unsigned char, kPieceBytes> kZeros = {};

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "attune: cannot mask: %s\n", what);
  std::abort();
}

// The key stream of one chunk, added to `words` or subtracted.
void ApplyChunk(EVP_CIPHER_CTX* cipher, const SecretBytes& key, bool subtract, std::span<Word> words) {
  constexpr std::array<unsigned char, 16> kZeroIv = {};
  Require(EVP_EncryptInit_ex(cipher, EVP_aes_256_ctr(), nullptr, key.data(), kZeroIv.data()) == 1, "no AES-256-CTR");
  alignas(64) std::array<Word, kPieceWords> stream;
  for (std::size_t from = 0; from < words.size(); from += kPieceWords) {
    const std::size_t count = std::min(kPieceWords, words.size() - from);
    const int bytes = static_cast<int>(count * sizeof(Word));
    int made = 0;
    Require(EVP_EncryptUpdate(cipher, reinterpret_cast<unsigned char*>(stream.data()), &made, kZeros.data(), bytes) == 1 &&
                made == bytes,
            "AES-256-CTR failed");
    Word* const to = words.data() + from;
    if (subtract) {
      for (std::size_t i = 0; i < count; ++i) to[i] -= stream[i];
    } else {
      for (std::size_t i = 0; i < count; ++i) to[i] += stream[i];
    }
  }
  OPENSSL_cleanse(stream.data(), sizeof(stream));
}

}  // namespace

Mask SelfMask(const SecretBytes& seed, absl::string_view site, bool subtract) {
  return {.secret = seed, .use = "seed", .first = std::string(site), .second = "", .subtract = subtract};
}

Mask PairMask(const SecretBytes& agreed, absl::string_view site, absl::string_view other, bool removed) {
  const auto [lower, higher] = std::minmax(site, other);
  return {.secret = agreed,
          .use = "mask",
          .first = std::string(lower),
          .second = std::string(higher),
          .subtract = (site != lower) != removed};
}

void ApplyMasks(absl::string_view session_id, const std::vector<Mask>& masks, std::uint64_t first, std::span<Word> words) {
  Require(first % kChunkWords == 0, "the first word is not the first of a chunk");
  const openssl::Cipher cipher(EVP_CIPHER_CTX_new());
  Require(cipher != nullptr, "no memory");
  std::uint64_t chunk = first / kChunkWords;
  for (std::size_t from = 0; from < words.size(); from += kChunkWords, ++chunk) {
    const std::span<Word> part = words.subspan(from, std::min(kChunkWords, words.size() - from));
    for (const Mask& mask : masks) {
      const absl::StatusOr<SecretBytes> key =
          DeriveKey(mask.secret, session_id, UseOfKey(mask.use, mask.first, mask.second, chunk));
      Require(key.ok(), "no HKDF-SHA256");
      ApplyChunk(cipher.get(), *key, mask.subtract, part);
    }
  }
}

}  // namespace attune::aggregation

// SPDX-License-Identifier: Apache-2.0
//
// Masks: key streams of AES-256-CTR with a zero IV, taken as little-endian words of 128 bits. Each chunk of kChunkWords has a
// key of its own, so no key serves twice. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_MASK_STREAM_H_
#define ATTUNE_COMMON_SECURITY_MASK_STREAM_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/security/aggregation.h"
#include "common/security/secret_bytes.h"

namespace attune::aggregation {

struct Mask {
  SecretBytes secret;
  // The use of the key: "seed" of a site, or "mask" of two (key_agreement.h).
  std::string use;
  std::string first;
  std::string second;
  bool subtract = false;
};

// A site's own mask, from its seed.
Mask SelfMask(const SecretBytes& seed, absl::string_view site, bool subtract);
// The mask of two sites as `site` adds it: the one that is sorted first adds, the other subtracts. `removed`: the reverse.
Mask PairMask(const SecretBytes& agreed, absl::string_view site, absl::string_view other, bool removed);

// Adds or subtracts every mask's words from `first` on, a multiple of kChunkWords. Ends the program when OpenSSL fails: what is
// not masked must not go on. Thread-safe.
void ApplyMasks(absl::string_view session_id, const std::vector<Mask>& masks, std::uint64_t first, std::span<Word> words);

}  // namespace attune::aggregation

#endif  // ATTUNE_COMMON_SECURITY_MASK_STREAM_H_

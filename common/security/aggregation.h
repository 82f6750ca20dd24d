// SPDX-License-Identifier: Apache-2.0
//
// Secure aggregation: the coordinator learns the sum of the sites' vectors and of no single one. After Bonawitz et al.,
// "Practical secure aggregation for privacy-preserving machine learning", CCS 2017, on the complete graph, with signed keys,
// over Z_2^128. docs/protocol.md has the steps; README.md in this folder the arithmetic and what is protected against whom.
//
// Every function is pure but for fresh random bytes: what a site keeps between steps it keeps as the messages' bytes and its
// SessionSecrets, so that a process that was killed goes on with the same. Nothing here reads or writes a file.
// Thread-compatible.
//
// A step's messages must be the same bytes in every later step: the caller keeps the key roster, the shares for this site and
// the survivors as it first saw them.
//
// Codes: PermissionDenied where this site must not go on (another roster, signatures that do not hold, another session, too few
// sites); InvalidArgument where a message is not one of the step's; each names the site that is to blame. Internal: OpenSSL
// failed.
#ifndef ATTUNE_COMMON_SECURITY_AGGREGATION_H_
#define ATTUNE_COMMON_SECURITY_AGGREGATION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/aggregation.pb.h"
#include "common/base/word128.h"

namespace attune::aggregation {

inline constexpr char kSuite[] = "X25519+HKDF-SHA256+AES-256-CTR+AES-256-GCM";
inline constexpr std::uint32_t kFewestSites = 3;  // of two, each knows the other's from the sum
inline constexpr std::uint32_t kMostSites = 200;  // the complete graph's cost; Shamir over GF(2^8) would hold 255

// An element of Z_2^128.
using Word = Word128;

// ceil(2k/3) + 1, and at most k: the shares that make a secret of k sites (README.md).
std::uint32_t ThresholdOf(std::uint32_t sites);

// A site as the approved manifest names it. Both fields differ from every other site's.
struct Peer {
  std::string site;
  std::string key_sha256;  // of the key that signs, as KeyFingerprintOf
};

// What the approved manifest fixes, and which attempt at which round this is. The same at every site and at the coordinator.
struct Terms {
  v1::AggregationSession session;
  std::vector<Peer> roster;     // sorted by site
  std::uint32_t threshold = 0;  // ThresholdOf the roster, or more
};

struct Signer {
  std::string key_pem;
  std::string certificate_pem;
};

// ---- A site ----

// KEYS. Fresh secrets of this attempt, to be kept before the message leaves, and wiped (WipeSecrets) when the attempt is over.
absl::StatusOr<v1::SessionSecrets> NewSecrets(const v1::AggregationSession& session);
// The message: a serialized v1::Signed. `site` must be on the roster with the signer's key.
absl::StatusOr<std::string> KeysMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                        const Signer& signer);

// SHARES. Verifies every bundle of the key roster against `terms` (never against what the coordinator says): signature, key,
// session, no site or key twice, at least the threshold, this site's own keys unchanged. The message differs at each call: keep
// it before it leaves, and send that one again.
absl::StatusOr<std::string> SharesMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                          absl::string_view key_roster);

// MASKED. Adds this site's masks to words of its vector. Thread-safe: any ranges, in any order, by any number of threads; the
// same bytes. Words are masked in chunks of kChunkWords, each with keys of its own.
inline constexpr std::size_t kChunkWords = std::size_t{1} << 16;  // 1 MiB
class Masker {
 public:
  // Opens the shares that were sent to this site (and so finds out now whether they can be opened). At least the threshold.
  static absl::StatusOr<Masker> Create(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                       absl::string_view key_roster, absl::string_view shares_for_site);
  Masker(Masker&&) noexcept;
  ~Masker();
  // words[i] is word `first + i` of the vector; `first` must be a multiple of kChunkWords, and all but the last call for a
  // vector must cover whole chunks. Ends the program when OpenSSL fails: what is not masked must not go on.
  void AddMasks(std::uint64_t first, std::span<Word> words) const;

 private:
  struct State;
  explicit Masker(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

// CONSISTENCY. Signs whose sums arrived. The survivors must hold this site and at least the threshold, all sharers as this site
// was told. A site signs one set in one attempt: the caller keeps the message before it leaves, and never signs another.
absl::StatusOr<std::string> ConsistencyMessage(const Terms& terms, absl::string_view site, absl::string_view key_roster,
                                               absl::string_view shares_for_site, absl::string_view survivors,
                                               const Signer& signer);

// UNMASK. Only when at least the threshold of survivors signed the very set that this site signed (`survivors`, its bytes): a
// share of the seed of each survivor, of the masking key of each other sharer, never both. The caller keeps it before it
// leaves, then wipes the secrets, and never answers for another set.
absl::StatusOr<std::string> UnmaskingMessage(const Terms& terms, absl::string_view site, const v1::SessionSecrets& secrets,
                                             absl::string_view key_roster, absl::string_view shares_for_site,
                                             absl::string_view survivors, absl::string_view signatures);

void WipeSecrets(v1::SessionSecrets& secrets);

// ---- The coordinator: it relays, and cannot read what it relays ----

// Each checks one site's message before it is recorded, so that what cannot be used is refused at once.
absl::Status CheckKeys(const Terms& terms, absl::string_view site, absl::string_view message);
absl::Status CheckShares(const Terms& terms, absl::string_view site, absl::string_view key_roster, absl::string_view message);
absl::Status CheckConsistency(const Terms& terms, absl::string_view site, absl::string_view survivors,
                              absl::string_view message);
absl::Status CheckUnmasking(const Terms& terms, absl::string_view site, absl::string_view key_roster,
                            absl::string_view survivors, absl::string_view message);

// What follows from the messages of a step, by site. The same messages give the same bytes.
std::string MakeKeyRoster(const std::map<std::string, std::string>& keys);
absl::StatusOr<std::string> MakeSharesForSite(absl::string_view site, const std::map<std::string, std::string>& shares);
absl::StatusOr<std::string> MakeSurvivors(absl::string_view key_roster, const std::vector<std::string>& sharers,
                                          const std::vector<std::string>& survivors);
std::string MakeSurvivorSignatures(const std::map<std::string, std::string>& signatures);

// Takes the masks off a sum of masked vectors. Memory: a few keys per site.
class Unmasker {
 public:
  // From at least the threshold of unmasking messages, by site. DataLoss naming the site whose recovered key or seed is not the
  // one it committed to: some share of it is false. With more messages than the threshold, one false share of a secret does no
  // harm.
  static absl::StatusOr<Unmasker> Create(const Terms& terms, absl::string_view key_roster, absl::string_view survivors,
                                         const std::map<std::string, std::string>& unmaskings);
  Unmasker(Unmasker&&) noexcept;
  ~Unmasker();
  // `words`: the sum over all survivors of their masked words from `first` on, a multiple of kChunkWords. Thread-safe.
  void RemoveMasks(std::uint64_t first, std::span<Word> words) const;

 private:
  struct State;
  explicit Unmasker(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace attune::aggregation

#endif  // ATTUNE_COMMON_SECURITY_AGGREGATION_H_

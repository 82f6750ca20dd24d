// SPDX-License-Identifier: Apache-2.0
//
// Masks by many threads: in a program of its own, which runs under ThreadSanitizer too.
#include <algorithm>

#include "common/base/parallel.h"
#include "common/security/aggregation.h"
#include "tests/common/security/aggregation_attempt.h"

namespace attune::aggregation {
namespace {

constexpr std::size_t kThreadWords = 2 * kChunkWords + 77;

TEST(AggregationThreads, Masker_OrderChunksAndThreadsDoNotMatter) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites());
  const std::vector<Word> plain = RandomWords(kThreadWords, 5);
  const std::vector<Word> whole = attempt.Masked("site-b", plain);
  const auto masker =
      Masker::Create(attempt.terms, "site-b", attempt.secrets["site-b"], attempt.key_roster, attempt.for_site["site-b"]);
  ASSERT_OK(masker);
  for (const int threads : {1, 2, 4}) {
    std::vector<Word> words = plain;
    ParallelFor(3, threads, [&](std::size_t i) {
      const std::size_t first = (2 - i) * kChunkWords;
      masker->AddMasks(first, {words.data() + first, std::min(kChunkWords, kThreadWords - first)});
    });
    EXPECT_TRUE(words == whole) << threads;
  }
  masker->AddMasks(7 * kChunkWords, {});
}

TEST(AggregationThreads, Unmasker_OrderChunksAndThreadsDoNotMatter) {
  Attempt attempt(3);
  attempt.Keys(attempt.Sites()).Shares(attempt.Sites()).Consistency(attempt.Sites()).Unmask(attempt.Sites());
  const auto unmasker = Unmasker::Create(attempt.terms, attempt.key_roster, attempt.survivors, attempt.unmaskings);
  ASSERT_OK(unmasker);
  std::vector<Word> whole(kThreadWords), words(kThreadWords);
  unmasker->RemoveMasks(0, {whole.data(), kThreadWords});
  ParallelFor(3, 3, [&](std::size_t i) {
    const std::size_t first = i * kChunkWords;
    unmasker->RemoveMasks(first, {words.data() + first, std::min(kChunkWords, kThreadWords - first)});
  });
  EXPECT_TRUE(words == whole);
}

}  // namespace
}  // namespace attune::aggregation

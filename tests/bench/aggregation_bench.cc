// SPDX-License-Identifier: Apache-2.0
//
// What a site does to each number before it leaves under `pooled`, at 4 sites: fixed point, then four masks (its own and one
// with each other site). Beside it, in the same run, copying the words and AES-256-CTR of as many bytes as one mask has: four
// of these are the least that four masks can cost.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <cstring>
#include <random>
#include <vector>

#include "common/numeric/fixed_point.h"
#include "common/security/mask_stream.h"
#include "common/security/secret_bytes.h"

namespace attune::aggregation {
namespace {

constexpr int kSites = 4;
constexpr int kResolution = -60;

std::vector<Mask> MasksOfOneSite() {
  std::vector<Mask> masks = {SelfMask(*SecretBytes::Random(), "site-b", false)};
  for (const char* other : {"site-a", "site-c", "site-d"}) {
    masks.push_back(PairMask(*SecretBytes::Random(), "site-b", other, false));
  }
  return masks;
}

void CountWords(benchmark::State& state) { state.SetItemsProcessed(state.iterations() * state.range(0)); }

void BM_AggregationMemcpy(benchmark::State& state) {
  const std::vector<Word> from(static_cast<std::size_t>(state.range(0)), 1);
  std::vector<Word> to(from.size());
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size() * sizeof(Word));
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  CountWords(state);
}

void BM_AggregationAesCtr(benchmark::State& state) {
  const std::size_t bytes = static_cast<std::size_t>(state.range(0)) * sizeof(Word);
  constexpr std::size_t kPiece = 8192;
  const std::vector<unsigned char> zeros(kPiece);
  std::vector<unsigned char> stream(kPiece);
  EVP_CIPHER_CTX* const cipher = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(cipher, EVP_aes_256_ctr(), nullptr, SecretBytes().data(), zeros.data());
  for (auto _ : state) {
    int made = 0;
    for (std::size_t from = 0; from < bytes; from += kPiece) {
      EVP_EncryptUpdate(cipher, stream.data(), &made, zeros.data(), static_cast<int>(kPiece));
    }
    benchmark::ClobberMemory();
  }
  EVP_CIPHER_CTX_free(cipher);
  CountWords(state);
}

void Run(benchmark::State& state, bool encode) {
  const std::vector<Mask> masks = MasksOfOneSite();
  std::mt19937_64 random(1);
  std::normal_distribution<double> number(1000, 200);
  std::vector<double> numbers(static_cast<std::size_t>(state.range(0)));
  for (double& x : numbers) x = number(random);
  std::vector<Word> words(numbers.size());
  for (auto _ : state) {
    for (std::size_t i = 0; encode && i < words.size(); ++i) words[i] = *ToFixed(numbers[i], kResolution, kSites);
    ApplyMasks("session", masks, 0, {words.data(), words.size()});
    benchmark::ClobberMemory();
  }
  CountWords(state);
}

void BM_AggregationMask(benchmark::State& state) { Run(state, false); }
void BM_AggregationEncodeAndMask(benchmark::State& state) { Run(state, true); }

constexpr std::int64_t kWords = 4 * kChunkWords;
BENCHMARK(BM_AggregationMemcpy)->Arg(kWords)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_AggregationAesCtr)->Arg(kWords)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_AggregationMask)->Arg(kWords)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_AggregationEncodeAndMask)->Arg(kWords)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace attune::aggregation

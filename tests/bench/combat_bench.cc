// SPDX-License-Identifier: Apache-2.0
//
// A whole ComBat study in memory (answer, estimate, fit, apply) on 20 batches of 50 subjects, against a naive pooled ComBat on
// the same rows in the same run. run.sh prints the ratios: times alone say more about the machine than about the code.
#include <benchmark/benchmark.h>

#include "common/methods/combat/combat.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

const SyntheticStudy& StudyOf(std::int64_t features) {
  static std::map<std::int64_t, SyntheticStudy>& studies = *new std::map<std::int64_t, SyntheticStudy>;
  const auto [study, is_new] = studies.try_emplace(features);
  if (is_new) {
    study->second = MakeSynthetic({.seed = 1,
                                   .batches_per_site = std::vector<int>(10, 2),
                                   .subjects_per_batch = 50,
                                   .features = static_cast<int>(features)});
  }
  return study->second;
}

void CountValues(benchmark::State& state, const SyntheticStudy& study) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(study.rows.size() * study.facts.features.size()));
}

void BM_Naive(benchmark::State& state) {
  const SyntheticStudy& study = StudyOf(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(NaiveCombat(study.rows, {}));
  CountValues(state, study);
}

void Federated(benchmark::State& state, Release release) {
  const SyntheticStudy& study = StudyOf(state.range(0));
  StudyFacts facts = study.facts;
  facts.release = release;
  for (auto _ : state) {
    absl::StatusOr<Values> values = Harmonize(CombatMethod(), facts, study.rows);
    if (!values.ok()) state.SkipWithError(values.status().ToString().c_str());
    benchmark::DoNotOptimize(values);
  }
  CountValues(state, study);
}

void BM_PerBatch(benchmark::State& state) { Federated(state, Release::kPerBatch); }
void BM_Pooled(benchmark::State& state) { Federated(state, Release::kPooled); }

// A site's part alone: the filled forms of all batches, on one thread and on two.
void BM_Answer(benchmark::State& state) {
  const SyntheticStudy& study = StudyOf(state.range(0));
  for (auto _ : state) {
    auto answers = AnswerFirst(CombatMethod(), study.facts, study.rows, static_cast<int>(state.range(1)));
    if (!answers.ok()) state.SkipWithError(answers.status().ToString().c_str());
    benchmark::DoNotOptimize(answers);
  }
  CountValues(state, study);
}

BENCHMARK(BM_Naive)->Arg(70)->Arg(1000)->Unit(benchmark::kMillisecond)->MinTime(0.2);
BENCHMARK(BM_PerBatch)->Arg(70)->Arg(1000)->Unit(benchmark::kMillisecond)->MinTime(0.2);
BENCHMARK(BM_Pooled)->Arg(70)->Arg(1000)->Unit(benchmark::kMillisecond)->MinTime(0.2);
BENCHMARK(BM_Answer)->Args({10000, 1})->Args({10000, 2})->Unit(benchmark::kMillisecond)->MinTime(0.2)->UseRealTime();

}  // namespace
}  // namespace attune::testing

BENCHMARK_MAIN();

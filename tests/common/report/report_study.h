// SPDX-License-Identifier: Apache-2.0
//
// What a report is made of, from rows in memory.
#ifndef ATTUNE_TESTS_COMMON_REPORT_REPORT_STUDY_H_
#define ATTUNE_TESTS_COMMON_REPORT_REPORT_STUDY_H_

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/methods/combat/combat.h"
#include "common/report/report.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {

// A study that is complete.
inline ReportInput InputOf(const SyntheticStudy& study) {
  ReportInput input;
  input.consortium = "net";
  input.state = "complete";
  input.manifest_sha256 = std::string(64, 'a');
  input.correction_sha256 = std::string(64, 'b');
  input.evidence_sha256 = std::string(64, 'c');
  input.config.set_study("demo");
  input.config.mutable_method()->mutable_combat()->ParseFromString(study.facts.options);
  input.facts = study.facts;
  std::set<std::string> sites;
  for (const BatchId& batch : study.facts.batches) sites.insert(SiteOf(batch));
  input.sites = sites.size();
  [&] {
    ASSERT_OK_AND_ASSIGN(FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    input.common = std::move(result.correction.common);
    input.evidence = std::move(result.correction.evidence);
    input.notes = std::move(result.correction.notes);
    for (const std::string& note : result.correction.batch_notes) input.notes.push_back(note);
    if (study.facts.release == Release::kPooled) return;
    input.corrections = std::move(result.correction.by_batch);
    ASSERT_OK_AND_ASSIGN(input.answers, AnswerFirst(CombatMethod(), study.facts, study.rows));
  }();
  return input;
}

inline std::vector<std::uint32_t> Words(const std::string& column) {
  std::vector<std::uint32_t> words;
  for (std::size_t i = 0; i + 4 <= column.size(); i += 4) {
    std::uint32_t word = 0;
    for (std::size_t byte = 4; byte > 0; --byte) word = (word << 8) | static_cast<unsigned char>(column[i + byte - 1]);
    words.push_back(word);
  }
  return words;
}

inline std::vector<float> Floats(const std::string& column) {
  std::vector<float> values;
  for (const std::uint32_t word : Words(column)) values.push_back(std::bit_cast<float>(word));
  return values;
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_COMMON_REPORT_REPORT_STUDY_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_COMMON_METHODS_COMBAT_STUDY_H_
#define ATTUNE_TESTS_COMMON_METHODS_COMBAT_STUDY_H_

#include <functional>
#include <string>

#include "attune/v1/config.pb.h"
#include "common/methods/combat/combat.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/synthetic.h"

namespace attune::testing {

inline constexpr Release kReleases[] = {Release::kPerBatch, Release::kPooled};

inline std::string CombatOptionsOf(const std::function<void(v1::CombatOptions&)>& set) {
  v1::CombatOptions options;
  set(options);
  return options.SerializeAsString();
}

// Keeps the first `count` subjects of a batch.
inline void Shrink(SyntheticStudy& study, const BatchId& batch, int count) {
  std::erase_if(study.rows, [&, kept = 0](const Row& row) mutable { return row.batch == batch && ++kept > count; });
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_COMMON_METHODS_COMBAT_STUDY_H_

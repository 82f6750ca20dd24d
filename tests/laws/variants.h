// SPDX-License-Identifier: Apache-2.0
//
// The settings under which the laws are run: every registered method with its default options, and the options of the methods
// that have some. A new method is enrolled by being registered; its options by a few lines here.
#ifndef ATTUNE_TESTS_LAWS_VARIANTS_H_
#define ATTUNE_TESTS_LAWS_VARIANTS_H_

#include <string>
#include <utility>
#include <vector>

#include "attune/v1/config.pb.h"
#include "common/methods/registry.h"

namespace attune::testing {

struct Variant {
  const Method* method;
  std::string name;
  std::string options;   // StudyFacts::options
  bool missing = false;  // the data may have missing values
};

inline std::vector<Variant> AllVariants() {
  std::vector<Variant> variants;
  for (const Method* method : AllMethods()) {
    variants.push_back({method, method->info().id, ""});
    if (method->info().id != "combat/1") continue;
    const auto add = [&](const char* name, void (*set)(v1::CombatOptions&)) {
      v1::CombatOptions options;
      set(options);
      variants.push_back(
          {method, method->info().id + " " + name, options.SerializeAsString(), options.missing() == v1::MISSING_VALUES_ALLOW});
    };
    add("nonparametric", [](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONPARAMETRIC); });
    add("none", [](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); });
    add("mean_only", [](v1::CombatOptions& o) { o.set_mean_only(true); });
    add("reference", [](v1::CombatOptions& o) { o.set_reference_batch("site11/scanner0"); });
    add("missing", [](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
    add("missing reference", [](v1::CombatOptions& o) {
      o.set_missing(v1::MISSING_VALUES_ALLOW);
      o.set_reference_batch("site11/scanner0");
    });
  }
  return variants;
}

inline constexpr Release kReleases[] = {Release::kPerBatch, Release::kPooled};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_LAWS_VARIANTS_H_

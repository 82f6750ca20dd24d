// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/study_facts.h"

#include "absl/strings/str_cat.h"

namespace attune {

std::vector<DesignColumn> DesignColumns(const std::vector<Covariate>& covariates) {
  std::vector<DesignColumn> columns;
  for (std::size_t c = 0; c < covariates.size(); ++c) {
    if (!covariates[c].categorical()) columns.push_back({covariates[c].name, c, 0});
    for (std::size_t l = 1; l < covariates[c].levels.size(); ++l) {
      columns.push_back({absl::StrCat(covariates[c].name, "[", covariates[c].levels[l], "]"), c, l});
    }
  }
  return columns;
}

}  // namespace attune

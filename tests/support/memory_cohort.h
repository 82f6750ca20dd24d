// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_MEMORY_COHORT_H_
#define ATTUNE_TESTS_SUPPORT_MEMORY_COHORT_H_

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/kernel/cohort.h"

namespace attune::testing {

struct Row {
  std::string id;
  BatchId batch;
  std::vector<double> covariates;
  std::vector<double> values;
  bool fit = true;
  std::string person = {};  // empty: the id
};

// A cohort in memory, in order of id as the contract asks.
class MemoryCohort : public Cohort {
 public:
  explicit MemoryCohort(std::vector<Row> rows) : rows_(std::move(rows)) {
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.id < b.id; });
  }

  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    for (const Row& row : rows_) {
      if (absl::Status status =
              visit({row.id, row.person.empty() ? row.id : row.person, row.batch, row.fit, row.covariates, row.values});
          !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  const std::vector<Row>& rows() const { return rows_; }

 private:
  std::vector<Row> rows_;
};

// The rows of each site.
inline std::map<std::string, MemoryCohort> SplitBySite(const std::vector<Row>& rows) {
  std::map<std::string, std::vector<Row>> by_site;
  for (const Row& row : rows) by_site[SiteOf(row.batch)].push_back(row);
  std::map<std::string, MemoryCohort> cohorts;
  for (auto& [site, site_rows] : by_site) cohorts.emplace(site, MemoryCohort(std::move(site_rows)));
  return cohorts;
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_MEMORY_COHORT_H_

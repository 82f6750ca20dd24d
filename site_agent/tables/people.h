// SPDX-License-Identifier: Apache-2.0
//
// participants.tsv in the study's terms.
#ifndef ATTUNE_SITE_AGENT_TABLES_PEOPLE_H_
#define ATTUNE_SITE_AGENT_TABLES_PEOPLE_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "common/tables/delimited.h"
#include "site_agent/tables/column_map.h"
#include "site_agent/tables/site_data.h"

namespace attune {

struct Person {
  std::string id;
  std::size_t batch = 0;  // index into People::batches
  bool fit = true;
  bool excluded = false;  // a covariate is missing
};

struct People {
  std::vector<Person> rows;         // in the order of the file
  std::size_t design_columns = 0;   // p
  std::vector<double> covariates;   // p per row, row after row
  std::vector<BatchCount> batches;  // sorted by id

  std::span<const double> CovariatesOfRow(std::size_t row) const {
    return std::span<const double>(covariates).subspan(row * design_columns, design_columns);
  }

  // The row with these values, which it refers to.
  Subject SubjectOf(std::size_t row, std::span<const double> values) const {
    const Person& who = rows[row];
    return {.id = who.id,
            .person = who.id,
            .batch = batches[who.batch].batch,
            .fit = who.fit,
            .covariates = CovariatesOfRow(row),
            .values = values};
  }
};

// The column that identifies rows, "participant_id" unless site.yaml names another.
std::string IdColumnOf(const v1::SiteConfig& site);

// Reads and checks the whole table. Fails with NotFound or InvalidArgument: file, line, column and what to do.
absl::StatusOr<People> ReadPeople(const DelimitedFile& table, const v1::SiteConfig& site, const v1::StudyConfig& study,
                                  const ColumnMap& map, const SiteDataOptions& options);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_PEOPLE_H_

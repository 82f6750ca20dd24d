// SPDX-License-Identifier: Apache-2.0
//
// The features' tables, joined to participants.tsv by id.
#ifndef ATTUNE_SITE_AGENT_TABLES_FEATURE_TABLES_H_
#define ATTUNE_SITE_AGENT_TABLES_FEATURE_TABLES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/tables/delimited.h"
#include "site_agent/tables/people.h"

namespace attune {

struct FeatureTable {
  DelimitedFile file;
  std::size_t id_column = 0;
  std::vector<std::size_t> row_of;  // by person, in the order of People::rows
};

// Opens and joins the tables. The id stands in the column `id_column`; tables that FreeSurfer's aparcstats2table or
// asegstats2table wrote have it in their first column, with the subject's folder before it or without "sub-". Every person must
// have one row in every table, and every row a person. Fails with NotFound or InvalidArgument: file, line and ids. What was
// recognised is told in `notes`.
absl::StatusOr<std::vector<FeatureTable>> OpenFeatureTables(const std::vector<std::string>& paths, const std::string& id_column,
                                                            const DelimitedFile& participants, const People& people,
                                                            std::vector<std::string>* notes);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_FEATURE_TABLES_H_

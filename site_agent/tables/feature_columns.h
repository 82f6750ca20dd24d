// SPDX-License-Identifier: Apache-2.0
//
// Which columns of the tables are the study's features.
#ifndef ATTUNE_SITE_AGENT_TABLES_FEATURE_COLUMNS_H_
#define ATTUNE_SITE_AGENT_TABLES_FEATURE_COLUMNS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "common/tables/delimited.h"
#include "site_agent/tables/column_map.h"
#include "site_agent/tables/feature_tables.h"
#include "site_agent/tables/people.h"
#include "site_agent/tables/site_data.h"

namespace attune {

// A column of all the tables together.
struct TableColumn {
  std::size_t table = 0;   // which of the tables
  std::size_t column = 0;  // of that table
  std::string name;        // in the study's terms
  double factor = 1;       // the site's number times this is in the study's unit
};

struct FeatureColumns {
  std::vector<TableColumn> joined;    // columns of the joined table, one id column among them
  std::vector<std::size_t> features;  // indices into `joined`, in the order of the study's features
};

// Joins the columns, picks the features by SiteDataOptions::features or the study's patterns, and checks every cell of these.
// Fails with NotFound or InvalidArgument: file, line, column and what to do. What was set aside is told in `notes`.
absl::StatusOr<FeatureColumns> SelectFeatures(const std::vector<FeatureTable>& tables, const DelimitedFile& participants,
                                              const People& people, const v1::StudyConfig& study, const ColumnMap& map,
                                              const SiteDataOptions& options, std::vector<std::string>* notes);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_FEATURE_COLUMNS_H_

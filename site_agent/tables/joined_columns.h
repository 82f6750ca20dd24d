// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_TABLES_JOINED_COLUMNS_H_
#define ATTUNE_SITE_AGENT_TABLES_JOINED_COLUMNS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/config.pb.h"
#include "common/tables/delimited.h"
#include "site_agent/tables/column_map.h"
#include "site_agent/tables/feature_columns.h"
#include "site_agent/tables/feature_tables.h"

namespace attune {

// Whether FreeSurfer writes this column beside the regions, into every table: a size of the whole head, no region's measure.
bool IsWholeHeadMeasure(absl::string_view name);

// The columns of all tables, those of the first table first, each later table's id column left out, named in the study's terms.
// A whole-head measure that several tables hold is kept once, and must be the same in all. Fails with NotFound when site.yaml
// maps a column that no table has, and with InvalidArgument when two columns have the same name.
absl::StatusOr<std::vector<TableColumn>> JoinColumns(const std::vector<FeatureTable>& tables, const DelimitedFile& participants,
                                                     const v1::StudyConfig& study, const ColumnMap& map,
                                                     std::vector<std::string>* notes);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_JOINED_COLUMNS_H_

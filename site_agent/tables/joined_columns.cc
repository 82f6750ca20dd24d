// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/joined_columns.h"

#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/names.h"

namespace attune {
namespace {

// A column of a later table that an earlier one holds too.
struct Repeated {
  TableColumn first;
  TableColumn again;
};

// "1500.0" and "1500.000000": FreeSurfer's tools write the same number in several ways.
bool SameNumber(const std::string& a, const std::string& b) {
  const absl::StatusOr<double> x = ParseDouble(a);
  const absl::StatusOr<double> y = ParseDouble(b);
  return x.ok() && y.ok() && *x == *y;
}

// Whether the columns say the same of every person; one person's rows are read once.
absl::Status CheckSame(const std::vector<FeatureTable>& tables, const std::vector<Repeated>& repeated) {
  const std::size_t people = repeated.empty() ? 0 : tables.front().row_of.size();
  for (std::size_t person = 0; person < people; ++person) {
    std::vector<std::vector<std::string>> cells;
    for (const FeatureTable& table : tables) {
      ATTUNE_ASSIGN_OR_RETURN(std::vector<std::string> row, table.file.ReadRow(table.row_of[person]));
      cells.push_back(std::move(row));
    }
    for (const auto& [first, again] : repeated) {
      const std::string& here = cells[first.table][first.column];
      const std::string& there = cells[again.table][again.column];
      if (here == there || SameNumber(here, there)) continue;
      const FeatureTable& one = tables[first.table];
      const FeatureTable& two = tables[again.table];
      return absl::InvalidArgumentError(absl::StrCat(
          two.file.Where(two.row_of[person], again.column), ": '", there, "', but '", here, "' in ",
          one.file.Where(one.row_of[person]),
          "; the tables are of different runs of FreeSurfer: make them again, or remove the column from one of them"));
    }
  }
  return absl::OkStatus();
}

// The site's columns that site.yaml renames to the study's features, by the site's name.
absl::StatusOr<std::map<std::string, const v1::ColumnMapping*>> RenamedFeatures(const std::vector<FeatureTable>& tables,
                                                                                const DelimitedFile& participants,
                                                                                const v1::StudyConfig& study,
                                                                                const ColumnMap& map) {
  std::vector<std::string> known;
  for (const FeatureTable& table : tables) known.insert(known.end(), table.file.header().begin(), table.file.header().end());
  const std::set<std::string> in_tables(known.begin(), known.end());
  std::map<std::string, const v1::ColumnMapping*> renamed;
  for (const auto& [name, mapping] : map.by_name()) {
    if (RoleOf(study, name) != ColumnRole::kOther) continue;
    const std::string& column = SiteColumn(*mapping);
    if (in_tables.count(column) == 0) {
      // A site.yaml serves several studies: a column of participants.tsv may be what another one uses.
      if (participants.ColumnOf(column).has_value()) continue;
      return absl::NotFoundError(absl::StrCat("site.yaml: columns: '", name, "' is mapped to the column '", column,
                                              "', which no table has; ", SuggestNames(column, known)));
    }
    if (!mapping->codes().empty()) {
      return absl::InvalidArgumentError(absl::StrCat("site.yaml: columns: '", name, "' has codes, which are for labels, but '",
                                                     column, "' is a column of numbers: convert units with multiply_by"));
    }
    const auto [other, added] = renamed.emplace(column, mapping);
    if (!added) {
      return absl::InvalidArgumentError(absl::StrCat("site.yaml: columns: '", name, "' and '", other->second->name(),
                                                     "' are both mapped to the column '", column,
                                                     "'; a column is one feature"));
    }
  }
  return renamed;
}

}  // namespace

bool IsWholeHeadMeasure(absl::string_view name) {
  return name == "eTIV" || name == "EstimatedTotalIntraCranialVol" || absl::StartsWith(name, "BrainSegVol");
}

absl::StatusOr<std::vector<TableColumn>> JoinColumns(const std::vector<FeatureTable>& tables, const DelimitedFile& participants,
                                                     const v1::StudyConfig& study, const ColumnMap& map,
                                                     std::vector<std::string>* notes) {
  ATTUNE_ASSIGN_OR_RETURN(const auto renamed, RenamedFeatures(tables, participants, study, map));
  std::vector<TableColumn> joined;
  std::vector<Repeated> repeated;
  std::vector<std::string> repeated_names;
  std::map<std::string, std::size_t> by_site_name;
  std::map<std::string, std::string> site_name_by_name;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const DelimitedFile& file = tables[t].file;
    for (std::size_t c = 0; c < file.header().size(); ++c) {
      const std::string& site_name = file.header()[c];
      if (t > 0 && c == tables[t].id_column) continue;
      TableColumn column = {.table = t, .column = c, .name = site_name};
      if (const auto found = renamed.find(site_name); found != renamed.end()) {
        column.name = found->second->name();
        column.factor = FactorOf(found->second);
      }
      if (const auto [first, added] = by_site_name.emplace(site_name, joined.size()); !added) {
        if (!IsWholeHeadMeasure(site_name)) {
          return absl::InvalidArgumentError(absl::StrCat(file.path(), ":1: the column '", site_name, "' is in '",
                                                         tables[joined[first->second].table].file.path(),
                                                         "' too; rename one of them, or list the file once"));
        }
        repeated.push_back({joined[first->second], column});
        repeated_names.push_back(site_name);
        continue;
      }
      if (const auto [first, added] = site_name_by_name.emplace(column.name, site_name); !added) {
        return absl::InvalidArgumentError(absl::StrCat(file.path(), ":1: the columns '", first->second, "' and '", site_name,
                                                       "' are both '", column.name,
                                                       "' in the study's terms; map one of them to "
                                                       "another name in site.yaml"));
      }
      if (column.name != site_name) notes->push_back(absl::StrCat("'", site_name, "' is the study's '", column.name, "'"));
      joined.push_back(std::move(column));
    }
  }
  ATTUNE_RETURN_IF_ERROR(CheckSame(tables, repeated));
  if (!repeated_names.empty()) {
    notes->push_back(absl::StrCat("in several tables, the same in each, and kept once: ", JoinSome(repeated_names)));
  }
  return joined;
}

}  // namespace attune

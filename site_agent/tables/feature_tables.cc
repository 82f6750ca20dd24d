// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/feature_tables.h"

#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/names.h"

namespace attune {
namespace {

constexpr std::size_t kNoRow = std::numeric_limits<std::size_t>::max();

// "lh.aparc.thickness", "rh.aparc.a2009s.area", "Measure:volume": what stands above the ids in FreeSurfer's tables.
bool IsFreeSurferHeader(absl::string_view name) {
  return absl::StartsWith(name, "lh.") || absl::StartsWith(name, "rh.") || absl::StartsWith(name, "Measure:");
}

// "subjects/sub-01/" -> "sub-01"
absl::string_view LastComponent(absl::string_view path) {
  while (absl::ConsumeSuffix(&path, "/")) {
  }
  const std::size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

using PersonOfId = std::map<std::string, std::size_t>;

// Joins one table.
class Join {
 public:
  Join(const FeatureTable& table, bool freesurfer, const PersonOfId& people)
      : table_(table), freesurfer_(freesurfer), people_(people), row_of_(people.size(), kNoRow) {}

  absl::Status AddRow(std::size_t row, const std::string& cell) {
    if (IsMissing(cell)) {
      return absl::InvalidArgumentError(
          absl::StrCat(table_.file.Where(row, table_.id_column), ": the row has no id; give it one or remove it"));
    }
    const PersonOfId::const_iterator person = Find(cell);
    if (person == people_.end()) {
      if (unknown_.empty()) first_unknown_ = row;
      unknown_.push_back(absl::StrCat(cell, " (line ", table_.file.LineOf(row), ")"));
      return absl::OkStatus();
    }
    std::size_t& place = row_of_[person->second];
    if (place != kNoRow) {
      return absl::InvalidArgumentError(absl::StrCat(table_.file.Where(row, table_.id_column), ": '", person->first,
                                                     "' is in line ", table_.file.LineOf(place),
                                                     " already; keep one row per id"));
    }
    place = row;
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::size_t>> Finish(const std::string& participants_path, std::vector<std::string>* notes) && {
    if (!unknown_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(table_.file.Where(first_unknown_, table_.id_column), ": ", unknown_.size(),
                                                     unknown_.size() == 1 ? " id is not in '" : " ids are not in '",
                                                     participants_path, "': ", JoinSome(unknown_),
                                                     "; add them there or remove these rows"));
    }
    std::vector<std::string> absent;
    for (const auto& [id, person] : people_) {
      if (row_of_[person] == kNoRow) absent.push_back(id);
    }
    if (!absent.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(table_.file.path(), ": column '", table_.file.header()[table_.id_column],
                                                     "': lacks ", absent.size(), absent.size() == 1 ? " id of '" : " ids of '",
                                                     participants_path, "': ", JoinSome(absent),
                                                     "; add their rows, or remove them from that file"));
    }
    if (stripped_ > 0) {
      notes->push_back(absl::StrCat(table_.file.path(), ": ids of ", stripped_, " rows are the last part of a path"));
    }
    if (prefixed_ > 0) {
      notes->push_back(absl::StrCat(table_.file.path(), ": ids of ", prefixed_, " rows were matched with 'sub-' before them"));
    }
    return std::move(row_of_);
  }

 private:
  PersonOfId::const_iterator Find(const std::string& cell) {
    if (!freesurfer_) return people_.find(cell);
    const std::string id(LastComponent(cell));
    stripped_ += id == cell ? 0 : 1;
    PersonOfId::const_iterator person = people_.find(id);
    if (person == people_.end() && !absl::StartsWith(id, "sub-")) {
      person = people_.find(absl::StrCat("sub-", id));
      prefixed_ += person == people_.end() ? 0 : 1;
    }
    return person;
  }

  const FeatureTable& table_;
  const bool freesurfer_;
  const PersonOfId& people_;
  std::vector<std::size_t> row_of_;
  std::vector<std::string> unknown_;
  std::size_t first_unknown_ = 0;
  std::size_t stripped_ = 0;
  std::size_t prefixed_ = 0;
};

absl::StatusOr<FeatureTable> OpenOne(const std::string& path, const std::string& id_column,
                                     const std::string& participants_path, const PersonOfId& people,
                                     std::vector<std::string>* notes) {
  ATTUNE_ASSIGN_OR_RETURN(DelimitedFile file, DelimitedFile::Open(path));
  FeatureTable table = {.file = std::move(file)};
  bool freesurfer = false;
  if (const std::optional<std::size_t> found = table.file.ColumnOf(id_column)) {
    table.id_column = *found;
  } else if (IsFreeSurferHeader(table.file.header().front())) {
    freesurfer = true;
    notes->push_back(
        absl::StrCat(path, ": a table of FreeSurfer; its first column '", table.file.header().front(), "' holds the ids"));
  } else {
    return absl::NotFoundError(absl::StrCat(path, ":1: no column '", id_column, "', which identifies the rows; ",
                                            SuggestNames(id_column, table.file.header())));
  }
  Join join(table, freesurfer, people);
  for (std::size_t row = 0; row < table.file.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, table.file.ReadRow(row));
    ATTUNE_RETURN_IF_ERROR(join.AddRow(row, cells[table.id_column]));
  }
  ATTUNE_ASSIGN_OR_RETURN(table.row_of, std::move(join).Finish(participants_path, notes));
  return table;
}

}  // namespace

absl::StatusOr<std::vector<FeatureTable>> OpenFeatureTables(const std::vector<std::string>& paths, const std::string& id_column,
                                                            const DelimitedFile& participants, const People& people,
                                                            std::vector<std::string>* notes) {
  PersonOfId person_of_id;
  for (std::size_t person = 0; person < people.rows.size(); ++person) person_of_id.emplace(people.rows[person].id, person);
  std::vector<FeatureTable> tables;
  for (const std::string& path : paths) {
    ATTUNE_ASSIGN_OR_RETURN(FeatureTable table, OpenOne(path, id_column, participants.path(), person_of_id, notes));
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace attune

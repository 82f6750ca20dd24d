// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/feature_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/names.h"
#include "site_agent/tables/joined_columns.h"

namespace attune {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

// How a column came to be looked at.
enum class Choice { kNo, kByGlob, kByName };

// What stands in a column: the first row of each kind of cell, or kNone.
struct Content {
  std::size_t number = kNone;
  std::size_t text = kNone;
  std::size_t infinite = kNone;
  std::size_t missing = kNone;  // among rows that are not excluded
  std::string bad_cell;         // of the first cell that is text or infinite

  std::size_t FirstBad() const { return std::min(text, infinite); }
};

bool IsGlob(absl::string_view pattern) { return pattern.find_first_of("*?") != absl::string_view::npos; }

bool IsInfinite(absl::string_view cell) {
  if (!absl::ConsumePrefix(&cell, "-")) absl::ConsumePrefix(&cell, "+");
  return absl::EqualsIgnoreCase(cell, "inf") || absl::EqualsIgnoreCase(cell, "infinity");
}

void Note(std::size_t row, std::size_t* first) { *first = std::min(*first, row); }

void Look(const std::string& cell, double factor, std::size_t row, bool excluded, Content* content) {
  if (IsMissing(cell)) {
    if (!excluded) Note(row, &content->missing);
    return;
  }
  const absl::StatusOr<double> value = ParseDouble(cell);
  if (value.ok() && std::isfinite(*value * factor)) return Note(row, &content->number);
  if (row < content->FirstBad()) content->bad_cell = cell;
  Note(row, IsInfinite(absl::StripAsciiWhitespace(cell)) ? &content->infinite : &content->text);
}

// Reads every cell of the chosen columns once.
absl::StatusOr<std::vector<Content>> LookAtCells(const std::vector<FeatureTable>& tables, const People& people,
                                                 const std::vector<TableColumn>& columns, const std::vector<Choice>& choices) {
  std::vector<Content> contents(columns.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    for (std::size_t person = 0; person < people.rows.size(); ++person) {
      const std::size_t row = tables[t].row_of[person];
      ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, tables[t].file.ReadRow(row));
      for (std::size_t c = 0; c < columns.size(); ++c) {
        if (columns[c].table != t || choices[c] == Choice::kNo) continue;
        Look(cells[columns[c].column], columns[c].factor, row, people.rows[person].excluded, &contents[c]);
      }
    }
  }
  return contents;
}

absl::Status NotANumber(const DelimitedFile& file, const TableColumn& column, const Content& content, bool by_name) {
  const std::string where = file.Where(content.FirstBad(), column.column);
  if (content.infinite < content.text) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": '", content.bad_cell,
                                                   "' is infinite; correct the cell, or make it n/a if the value is missing"));
  }
  const bool comma = ParseDouble(absl::StrReplaceAll(content.bad_cell, {{",", "."}})).ok();
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": '", content.bad_cell, "' is not a number",
      by_name                   ? ", but the study uses the column as a feature"
      : content.number != kNone ? ", but other cells of the column are"
                                : "",
      comma ? "; write numbers with a decimal point" : "; correct the cell, or make it n/a if the value is missing"));
}

// Whether a chosen column is a feature: kByGlob takes numbers only, a name must be one.
absl::StatusOr<bool> Judge(const DelimitedFile& file, const TableColumn& column, const Content& content, Choice choice) {
  const bool by_name = choice == Choice::kByName;
  const bool has_bad = content.FirstBad() != kNone;
  if (content.number == kNone && !by_name) {
    const bool decimal_comma = has_bad && ParseDouble(absl::StrReplaceAll(content.bad_cell, {{",", "."}})).ok();
    const bool only_infinite = content.text == kNone && has_bad;
    if (!decimal_comma && !only_infinite) return false;
  }
  if (has_bad) return NotANumber(file, column, content, by_name);
  return true;
}

// The study's names of columns that it uses otherwise, as the site writes them.
std::set<std::string> UsedOtherwise(const v1::StudyConfig& study, const ColumnMap& map) {
  std::set<std::string> used;
  for (const v1::CovariateConfig& covariate : study.covariates()) used.insert(map.ColumnOf(covariate.name()));
  for (const std::string& batch : study.batch()) used.insert(map.ColumnOf(batch));
  for (const auto& [name, value] : study.method().combat().fit_on()) used.insert(map.ColumnOf(name));
  return used;
}

std::vector<std::string> PatternsOf(const v1::StudyConfig& study) {
  const auto& columns = study.features().table().columns();
  if (columns.empty()) return {"*"};
  return {columns.begin(), columns.end()};
}

// Picks columns by the study's patterns, or by the frozen list of features.
class Chooser {
 public:
  Chooser(const v1::StudyConfig& study, const ColumnMap& map, const std::vector<std::string>& features)
      : frozen_(!features.empty()), patterns_(frozen_ ? features : PatternsOf(study)), used_(UsedOtherwise(study, map)) {
    for (const std::string& pattern : patterns_) {
      if (frozen_ || !IsGlob(pattern)) names_.insert(pattern);
    }
  }

  Choice Choose(const TableColumn& column, const std::string& site_name, std::vector<std::string>* set_aside) const {
    if (names_.count(column.name) > 0) return Choice::kByName;
    const bool matches = !frozen_ && std::any_of(patterns_.begin(), patterns_.end(),
                                                 [&](const std::string& pattern) { return MatchesGlob(pattern, column.name); });
    if (!matches) return Choice::kNo;
    if (!IsWholeHeadMeasure(site_name) && used_.count(site_name) == 0) return Choice::kByGlob;
    set_aside->push_back(site_name);
    return Choice::kNo;
  }

  // Every name and pattern must select something.
  absl::Status Check(const std::vector<TableColumn>& columns, const std::vector<std::size_t>& features) const {
    std::set<std::string> selected;
    for (const std::size_t feature : features) selected.insert(columns[feature].name);
    std::vector<std::string> absent;
    for (const std::string& name : patterns_) {
      if (names_.count(name) > 0 && selected.count(name) == 0) absent.push_back(name);
    }
    if (!absent.empty()) {
      std::vector<std::string> known;
      for (const TableColumn& column : columns) known.push_back(column.name);
      return absl::NotFoundError(absl::StrCat(
          "no table has the column '", absent.front(), "', which is a feature of the study",
          absent.size() > 1 ? absl::StrCat(" (in all, ", absent.size(), " are absent: ", JoinSome(absent), ")") : "", "; ",
          SuggestNames(absent.front(), known),
          " If it has another name here, map it in site.yaml: columns: [{name: ", absent.front(), ", column: ...}]"));
    }
    for (const std::string& pattern : patterns_) {
      if (names_.count(pattern) > 0) continue;
      const bool any =
          std::any_of(selected.begin(), selected.end(), [&](const auto& name) { return MatchesGlob(pattern, name); });
      if (!any) {
        return absl::InvalidArgumentError(
            absl::StrCat("no numeric column of the tables matches '", pattern, "', which the study's features ask for"));
      }
    }
    return absl::OkStatus();
  }

  // The study's order, where there is one already.
  void Sort(const std::vector<TableColumn>& columns, std::vector<std::size_t>* features) const {
    if (!frozen_) return;
    std::map<std::string, std::size_t> place;
    for (std::size_t i = 0; i < patterns_.size(); ++i) place[patterns_[i]] = i;
    std::sort(features->begin(), features->end(),
              [&](std::size_t a, std::size_t b) { return place.at(columns[a].name) < place.at(columns[b].name); });
  }

 private:
  bool frozen_;
  std::vector<std::string> patterns_;
  std::set<std::string> names_;  // those of the patterns that name one column
  std::set<std::string> used_;
};

}  // namespace

absl::StatusOr<FeatureColumns> SelectFeatures(const std::vector<FeatureTable>& tables, const DelimitedFile& participants,
                                              const People& people, const v1::StudyConfig& study, const ColumnMap& map,
                                              const SiteDataOptions& options, std::vector<std::string>* notes) {
  FeatureColumns result;
  ATTUNE_ASSIGN_OR_RETURN(result.joined, JoinColumns(tables, participants, study, map, notes));
  const Chooser chooser(study, map, options.features.names());
  std::vector<std::string> set_aside;
  std::vector<Choice> choices;
  for (const TableColumn& column : result.joined) {
    const bool is_id = column.column == tables[column.table].id_column;
    const std::string& site_name = tables[column.table].file.header()[column.column];
    choices.push_back(is_id ? Choice::kNo : chooser.Choose(column, site_name, &set_aside));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<Content> contents, LookAtCells(tables, people, result.joined, choices));

  const bool missing_allowed = options.for_apply || study.method().combat().missing() == v1::MISSING_VALUES_ALLOW;
  std::vector<std::string> not_numeric;
  for (std::size_t c = 0; c < result.joined.size(); ++c) {
    if (choices[c] == Choice::kNo) continue;
    const TableColumn& column = result.joined[c];
    const DelimitedFile& file = tables[column.table].file;
    ATTUNE_ASSIGN_OR_RETURN(const bool is_feature, Judge(file, column, contents[c], choices[c]));
    if (!is_feature) {
      not_numeric.push_back(file.header()[column.column]);
      continue;
    }
    if (contents[c].missing != kNone && !missing_allowed) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.Where(contents[c].missing, column.column),
          ": the value is missing; complete the data, or let the study allow it with 'missing: allow' under method: combat"));
    }
    result.features.push_back(c);
  }
  ATTUNE_RETURN_IF_ERROR(chooser.Check(result.joined, result.features));
  chooser.Sort(result.joined, &result.features);
  if (!set_aside.empty()) notes->push_back(absl::StrCat("set aside, kept as they are: ", JoinSome(set_aside)));
  if (!not_numeric.empty())
    notes->push_back(absl::StrCat("no numbers in these columns, kept as they are: ", JoinSome(not_numeric)));
  return result;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/people.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/names.h"
#include "site_agent/tables/design_reader.h"

namespace attune {
namespace {

using Cells = std::vector<std::string>;

// A column whose cells are labels: of a batch, or compared by fit_on.
struct LabelColumn {
  std::size_t column;
  const v1::ColumnMapping* mapping;
};

absl::StatusOr<LabelColumn> LabelColumnFor(const DelimitedFile& table, const ColumnMap& map, const std::string& name,
                                           absl::string_view use) {
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t column, ColumnFor(table, map, name, use));
  return LabelColumn{column, map.Find(name)};
}

// The batch labels of rows.
class BatchReader {
 public:
  static absl::StatusOr<BatchReader> Create(const DelimitedFile& table, const v1::StudyConfig& study, const ColumnMap& map,
                                            const SiteDataOptions& options) {
    BatchReader reader(table);
    reader.only_label_ = options.batch_label.empty() ? kOnlyBatchLabel : options.batch_label;
    if (!options.batch_label.empty()) return reader;
    for (const std::string& name : study.batch()) {
      ATTUNE_ASSIGN_OR_RETURN(LabelColumn column, LabelColumnFor(table, map, name, "the batch"));
      reader.columns_.push_back(column);
    }
    return reader;
  }

  absl::StatusOr<std::string> Read(std::size_t row, const Cells& cells) {
    if (columns_.empty()) return only_label_;
    std::vector<std::string> parts;
    for (const LabelColumn& column : columns_) {
      const std::string where = table_->Where(row, column.column);
      ATTUNE_ASSIGN_OR_RETURN(const std::optional<std::string> part, ReadLabel(cells[column.column], column.mapping, where));
      if (!part.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": the value is missing, but it says which batch the row belongs to; complete it or remove the row"));
      }
      const bool strange = std::any_of(part->begin(), part->end(),
                                       [](char c) { return c == '/' || absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
      if (strange || !IsUtf8(*part)) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": '", absl::CHexEscape(*part),
            "' cannot be part of a batch's name: it holds '/', a control character or what is not UTF-8; map it with codes in "
            "site.yaml"));
      }
      parts.push_back(*part);
    }
    const std::string label = absl::StrJoin(parts, "_");
    const auto [known, added] = parts_by_label_.emplace(label, parts);
    if (!added && known->second != parts) {
      return absl::InvalidArgumentError(absl::StrCat(table_->Where(row), ": two batches get the same name '", label, "': (",
                                                     absl::StrJoin(known->second, ", "), ") and (", absl::StrJoin(parts, ", "),
                                                     "); give one of them another label with codes in site.yaml"));
    }
    return label;
  }

 private:
  explicit BatchReader(const DelimitedFile& table) : table_(&table) {}

  const DelimitedFile* table_;
  std::vector<LabelColumn> columns_;
  std::string only_label_;  // everybody's, where there are no columns
  std::map<std::string, std::vector<std::string>> parts_by_label_;
};

// Whether rows match fit_on.
class FitReader {
 public:
  static absl::StatusOr<FitReader> Create(const DelimitedFile& table, const v1::StudyConfig& study, const ColumnMap& map,
                                          const SiteDataOptions& options) {
    FitReader reader(table);
    if (options.for_apply) return reader;
    const auto& fit_on = study.method().combat().fit_on();
    // In order of name: which of two errors is told first does not depend on a hash.
    for (const auto& [name, value] : std::map<std::string, std::string>(fit_on.begin(), fit_on.end())) {
      ATTUNE_ASSIGN_OR_RETURN(const LabelColumn column, LabelColumnFor(table, map, name, "fit_on"));
      reader.conditions_.push_back({name, column, value});
    }
    return reader;
  }

  absl::StatusOr<bool> Read(std::size_t row, const Cells& cells, const std::string& batch) {
    bool fit = true;
    for (const Condition& condition : conditions_) {
      const std::size_t column = condition.source.column;
      ATTUNE_ASSIGN_OR_RETURN(const std::optional<std::string> label,
                              ReadLabel(cells[column], condition.source.mapping, table_->Where(row, column)));
      seen_[batch].insert(absl::StrCat(condition.name, ": ", label.value_or("n/a")));
      fit = fit && label == condition.value;
    }
    return fit;
  }

  // What the error says when nobody of a batch matches.
  absl::Status NobodyMatches(const BatchId& batch, const std::string& label) const {
    std::vector<std::string> wanted;
    for (const Condition& condition : conditions_) wanted.push_back(absl::StrCat(condition.name, ": ", condition.value));
    const auto seen = seen_.find(label);
    return absl::InvalidArgumentError(absl::StrCat(
        table_->path(), ": no subject of the batch '", batch, "' matches the study's fit_on {", absl::StrJoin(wanted, ", "),
        "}; its rows have {", seen == seen_.end() ? "" : JoinSome({seen->second.begin(), seen->second.end()}),
        "}. Map your codes in site.yaml, or leave this batch out"));
  }

 private:
  struct Condition {
    std::string name;
    LabelColumn source;
    std::string value;
  };
  explicit FitReader(const DelimitedFile& table) : table_(&table) {}

  const DelimitedFile* table_;
  std::vector<Condition> conditions_;
  std::map<std::string, std::set<std::string>> seen_;  // by batch label
};

absl::StatusOr<std::string> ReadId(const DelimitedFile& table, std::size_t row, std::size_t column, const Cells& cells) {
  if (IsMissing(cells[column])) {
    return absl::InvalidArgumentError(absl::StrCat(table.Where(row, column), ": the row has no id; give it one or remove it"));
  }
  return cells[column];
}

// Batches sorted by id, with what their rows count up to. Sets each person's batch.
std::vector<BatchCount> CountBatches(const std::string& site, const std::vector<std::string>& labels,
                                     std::vector<Person>* rows) {
  std::map<BatchId, std::size_t> index;
  for (const std::string& label : labels) index.emplace(MakeBatchId(site, label), 0);
  std::vector<BatchCount> counts;
  for (auto& [batch, position] : index) {
    position = counts.size();
    counts.push_back({.batch = batch});
  }
  for (std::size_t row = 0; row < rows->size(); ++row) {
    Person& person = (*rows)[row];
    person.batch = index.at(MakeBatchId(site, labels[row]));
    BatchCount& count = counts[person.batch];
    count.excluded += person.excluded ? 1 : 0;
    count.subjects += person.excluded ? 0 : 1;
    count.fit += !person.excluded && person.fit ? 1 : 0;
  }
  return counts;
}

absl::Status CheckBatches(const People& people, const DelimitedFile& table, const FitReader& fit) {
  for (const BatchCount& count : people.batches) {
    if (count.subjects == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(table.path(), ": every row of the batch '", count.batch,
                       "' lacks a covariate, so that nobody is left; complete them or remove these rows"));
    }
    if (count.fit == 0) return fit.NobodyMatches(count.batch, LabelOf(count.batch));
  }
  return absl::OkStatus();
}

}  // namespace

std::string IdColumnOf(const v1::SiteConfig& site) { return site.id_column().empty() ? "participant_id" : site.id_column(); }

absl::StatusOr<People> ReadPeople(const DelimitedFile& table, const v1::SiteConfig& site, const v1::StudyConfig& study,
                                  const ColumnMap& map, const SiteDataOptions& options) {
  const std::optional<std::size_t> id_column = table.ColumnOf(IdColumnOf(site));
  if (!id_column.has_value()) {
    return absl::NotFoundError(absl::StrCat(table.path(), ":1: no column '", IdColumnOf(site), "', which identifies the rows; ",
                                            SuggestNames(IdColumnOf(site), table.header()),
                                            " If it has another name here, write it in site.yaml as id_column"));
  }
  if (table.row_count() == 0) return absl::InvalidArgumentError(absl::StrCat(table.path(), ": no rows below the header"));
  ATTUNE_ASSIGN_OR_RETURN(const DesignReader design, DesignReader::Create(study, map, table));
  ATTUNE_ASSIGN_OR_RETURN(BatchReader batches, BatchReader::Create(table, study, map, options));
  ATTUNE_ASSIGN_OR_RETURN(FitReader fit, FitReader::Create(table, study, map, options));

  People people;
  people.rows.resize(table.row_count());
  people.design_columns = design.columns();
  people.covariates.resize(table.row_count() * design.columns());
  std::vector<std::string> labels(table.row_count());
  std::map<std::string, std::size_t> row_of_id;
  for (std::size_t row = 0; row < table.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const Cells cells, table.ReadRow(row));
    Person& person = people.rows[row];
    ATTUNE_ASSIGN_OR_RETURN(person.id, ReadId(table, row, *id_column, cells));
    const auto [first, added] = row_of_id.emplace(person.id, row);
    if (!added) {
      return absl::InvalidArgumentError(absl::StrCat(table.Where(row, *id_column), ": '", person.id, "' is in line ",
                                                     table.LineOf(first->second), " already; keep one row per id"));
    }
    ATTUNE_ASSIGN_OR_RETURN(labels[row], batches.Read(row, cells));
    const std::span<double> covariates = std::span<double>(people.covariates).subspan(row * design.columns(), design.columns());
    ATTUNE_ASSIGN_OR_RETURN(const bool complete, design.Read(row, cells, covariates));
    person.excluded = !complete;
    ATTUNE_ASSIGN_OR_RETURN(person.fit, fit.Read(row, cells, labels[row]));
  }
  people.batches = CountBatches(options.site, labels, &people.rows);
  // A saved model serves whoever comes, one at a time: a batch of nobody but excluded rows is no error then.
  if (!options.for_apply) ATTUNE_RETURN_IF_ERROR(CheckBatches(people, table, fit));
  return people;
}

}  // namespace attune

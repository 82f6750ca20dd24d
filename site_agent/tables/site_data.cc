// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/site_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/delimited.h"
#include "common/tables/tsv_writer.h"
#include "common/wire/harmonized_input.h"
#include "site_agent/tables/column_map.h"
#include "site_agent/tables/feature_columns.h"
#include "site_agent/tables/feature_tables.h"
#include "site_agent/tables/people.h"

namespace attune {
namespace {

std::string FileName(const std::string& path) { return std::filesystem::path(path).filename().string(); }

// `path` of site.yaml, which counts from `folder`; an absolute one stays.
std::string Resolve(const std::string& folder, const std::string& path) {
  return (std::filesystem::path(folder) / path).lexically_normal().string();
}

absl::Status CheckNotHarmonized(const std::string& path, bool allow, std::vector<std::string>* notes) {
  const std::optional<std::string> study = HarmonizedInStudy(path);
  if (!study.has_value()) return absl::OkStatus();
  const std::string message = absl::StrCat(path, ": ", DescribeHarmonized(*study), " '", SidecarPathOf(path), "'");
  if (!allow) {
    return absl::InvalidArgumentError(
        absl::StrCat(message, "; give the table as it was before, or --force to harmonize it again"));
  }
  notes->push_back(message);
  return absl::OkStatus();
}

class TableSiteData final : public SiteData {
 public:
  TableSiteData(People people, std::vector<FeatureTable> tables, FeatureColumns columns, std::vector<std::string> input_paths,
                std::vector<v1::FileDigest> inputs, std::vector<std::string> notes)
      : people_(std::move(people)),
        tables_(std::move(tables)),
        columns_(std::move(columns)),
        input_paths_(std::move(input_paths)),
        inputs_(std::move(inputs)),
        notes_(std::move(notes)),
        by_id_(people_.rows.size()) {
    std::vector<std::string> names;
    for (const std::size_t feature : columns_.features) names.push_back(columns_.joined[feature].name);
    features_ = std::move(names);
    std::iota(by_id_.begin(), by_id_.end(), std::size_t{0});
    std::sort(by_id_.begin(), by_id_.end(),
              [&](std::size_t a, std::size_t b) { return people_.rows[a].id < people_.rows[b].id; });
  }

  const FeatureNames& features() const override { return features_; }
  const std::vector<BatchCount>& batches() const override { return people_.batches; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::vector<std::string>& input_paths() const override { return input_paths_; }
  const std::vector<v1::FileDigest>& inputs() const override { return inputs_; }

  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    std::vector<double> values(features_.size());
    for (const std::size_t person : by_id_) {
      if (people_.rows[person].excluded) continue;
      ATTUNE_ASSIGN_OR_RETURN(const JoinedRow row, ReadJoined(person));
      ATTUNE_RETURN_IF_ERROR(ReadValues(row, person, &values));
      ATTUNE_RETURN_IF_ERROR(visit(people_.SubjectOf(person, values)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<TsvWriter> StageTable(
      const std::string& path, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply) const override;

 private:
  using JoinedRow = std::vector<std::string>;  // one cell per joined column

  absl::StatusOr<JoinedRow> ReadJoined(std::size_t person) const {
    std::vector<std::vector<std::string>> cells;
    for (const FeatureTable& table : tables_) {
      ATTUNE_ASSIGN_OR_RETURN(std::vector<std::string> row, table.file.ReadRow(table.row_of[person]));
      cells.push_back(std::move(row));
    }
    JoinedRow joined;
    joined.reserve(columns_.joined.size());
    for (const TableColumn& column : columns_.joined) joined.push_back(std::move(cells[column.table][column.column]));
    return joined;
  }

  // The features of a row in the study's units. Cells were checked by Open; what no longer reads was changed since.
  absl::Status ReadValues(const JoinedRow& row, std::size_t person, std::vector<double>* values) const {
    for (std::size_t f = 0; f < features_.size(); ++f) {
      const TableColumn& column = columns_.joined[columns_.features[f]];
      const std::string& cell = row[columns_.features[f]];
      if (IsMissing(cell)) {
        (*values)[f] = std::numeric_limits<double>::quiet_NaN();
        continue;
      }
      const absl::StatusOr<double> value = ParseDouble(cell);
      if (!value.ok()) {
        const FeatureTable& table = tables_[column.table];
        return absl::DataLossError(absl::StrCat(table.file.Where(table.row_of[person], column.column),
                                                ": was changed while the table was in use; run again"));
      }
      (*values)[f] = *value * column.factor;
    }
    return absl::OkStatus();
  }

  // Puts what `apply` made of `values` into the row's cells.
  absl::Status ReplaceFeatures(const Subject& subject, std::span<const double> harmonized, JoinedRow* row) const;

  const People people_;
  const std::vector<FeatureTable> tables_;
  const FeatureColumns columns_;
  const std::vector<std::string> input_paths_;
  const std::vector<v1::FileDigest> inputs_;
  const std::vector<std::string> notes_;
  FeatureNames features_;
  std::vector<std::size_t> by_id_;
};

absl::Status TableSiteData::ReplaceFeatures(const Subject& subject, std::span<const double> harmonized, JoinedRow* row) const {
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const TableColumn& column = columns_.joined[columns_.features[f]];
    std::string& cell = (*row)[columns_.features[f]];
    if (std::isnan(subject.values[f])) {
      cell = FormatDouble(std::numeric_limits<double>::quiet_NaN());
    } else if (!std::isfinite(harmonized[f])) {
      return absl::InvalidArgumentError(absl::StrCat("the harmonized value of '", features_[f], "' of '", subject.id,
                                                     "' is not a finite number; its value in the table is ", cell));
    } else if (harmonized[f] != subject.values[f]) {
      cell = FormatDouble(harmonized[f] / column.factor);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TsvWriter> TableSiteData::StageTable(
    const std::string& path, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply) const {
  std::vector<std::size_t> person_of_row(people_.rows.size());
  for (std::size_t person = 0; person < person_of_row.size(); ++person) person_of_row[tables_.front().row_of[person]] = person;

  ATTUNE_ASSIGN_OR_RETURN(TsvWriter writer, TsvWriter::Create(path, FileAccess::kShared));
  JoinedRow header;
  for (const TableColumn& column : columns_.joined) header.push_back(tables_[column.table].file.header()[column.column]);
  writer.WriteRow(header);

  std::vector<double> values(features_.size());
  std::vector<double> harmonized(features_.size());
  for (const std::size_t person : person_of_row) {
    ATTUNE_ASSIGN_OR_RETURN(JoinedRow row, ReadJoined(person));
    if (people_.rows[person].excluded) {
      for (const std::size_t feature : columns_.features) row[feature] = FormatDouble(std::numeric_limits<double>::quiet_NaN());
    } else {
      ATTUNE_RETURN_IF_ERROR(ReadValues(row, person, &values));
      const Subject subject = people_.SubjectOf(person, values);
      ATTUNE_RETURN_IF_ERROR(apply(subject, std::span<double>(harmonized)));
      ATTUNE_RETURN_IF_ERROR(ReplaceFeatures(subject, harmonized, &row));
    }
    writer.WriteRow(row);
  }
  return writer;
}

v1::FileDigest DigestOf(const DelimitedFile& file) {
  v1::FileDigest digest;
  digest.set_file(FileName(file.path()));
  digest.set_sha256(file.sha256());
  return digest;
}

}  // namespace

namespace {

absl::StatusOr<std::unique_ptr<SiteData>> OpenTables(const v1::SiteConfig& site, const v1::StudyConfig& study,
                                                     const SiteDataOptions& options) {
  if (site.participants().empty() || site.features().empty()) {
    return absl::InvalidArgumentError(
        "site.yaml: expected the paths of the tables: participants, and features (one or several)");
  }
  const std::string participants_path = Resolve(options.folder, site.participants());
  std::vector<std::string> feature_paths;
  for (const std::string& path : site.features()) feature_paths.push_back(Resolve(options.folder, path));

  std::vector<std::string> notes;
  ATTUNE_RETURN_IF_ERROR(CheckNotHarmonized(participants_path, options.allow_harmonized_input, &notes));
  for (const std::string& path : feature_paths) {
    ATTUNE_RETURN_IF_ERROR(CheckNotHarmonized(path, options.allow_harmonized_input, &notes));
  }
  ATTUNE_ASSIGN_OR_RETURN(const ColumnMap map, ColumnMap::Create(site, study));
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile participants, DelimitedFile::Open(participants_path));
  ATTUNE_ASSIGN_OR_RETURN(People people, ReadPeople(participants, site, study, map, options));
  ATTUNE_ASSIGN_OR_RETURN(std::vector<FeatureTable> tables,
                          OpenFeatureTables(feature_paths, IdColumnOf(site), participants, people, &notes));
  ATTUNE_ASSIGN_OR_RETURN(FeatureColumns columns, SelectFeatures(tables, participants, people, study, map, options, &notes));
  std::vector<v1::FileDigest> inputs = {DigestOf(participants)};
  for (const FeatureTable& table : tables) inputs.push_back(DigestOf(table.file));
  std::vector<std::string> input_paths = {participants_path};
  input_paths.insert(input_paths.end(), feature_paths.begin(), feature_paths.end());
  return std::make_unique<TableSiteData>(std::move(people), std::move(tables), std::move(columns), std::move(input_paths),
                                         std::move(inputs), std::move(notes));
}

}  // namespace

absl::StatusOr<TsvWriter> SiteData::StageTable(const std::string& path,
                                               absl::FunctionRef<absl::Status(const Subject&, std::span<double>)>) const {
  return absl::FailedPreconditionError(absl::StrCat("'", path, "' would be a table of data that are none"));
}

absl::StatusOr<std::unique_ptr<SiteData>> SiteData::Open(const v1::SiteConfig& site, const v1::StudyConfig& study,
                                                         const SiteDataOptions& options) {
  absl::StatusOr<std::unique_ptr<SiteData>> data = OpenTables(site, study, options);
  if (!data.ok()) return Printable(data.status());
  return data;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/design_reader.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"

namespace attune {

absl::StatusOr<DesignReader> DesignReader::Create(const v1::StudyConfig& study, const ColumnMap& map,
                                                  const DelimitedFile& table) {
  DesignReader reader;
  reader.table_ = &table;
  reader.covariates_ = CovariatesOf(study);
  reader.design_ = DesignColumns(reader.covariates_);
  reader.exclude_missing_ = study.missing_covariates() == v1::MISSING_COVARIATES_EXCLUDE;
  for (const Covariate& covariate : reader.covariates_) {
    Source source;
    ATTUNE_ASSIGN_OR_RETURN(source.column, ColumnFor(table, map, covariate.name, "a covariate"));
    source.mapping = map.Find(covariate.name);
    reader.sources_.push_back(source);
  }
  return reader;
}

absl::StatusOr<bool> DesignReader::Read(std::size_t row, const std::vector<std::string>& cells, std::span<double> out) const {
  std::vector<double> number(covariates_.size());
  std::vector<std::size_t> level(covariates_.size());
  bool complete = true;
  for (std::size_t c = 0; c < covariates_.size(); ++c) {
    const Source& source = sources_[c];
    const std::string& cell = cells[source.column];
    std::optional<std::string> label;
    if (covariates_[c].categorical()) {
      ATTUNE_ASSIGN_OR_RETURN(label, ReadLabel(cell, source.mapping, table_->Where(row, source.column)));
    } else if (!IsMissing(cell)) {
      label = cell;
    }
    if (!label.has_value()) {
      if (!exclude_missing_) {
        return absl::InvalidArgumentError(absl::StrCat(
            table_->Where(row, source.column), ": the value is missing, but the study uses it as the covariate '",
            covariates_[c].name,
            "'; complete it, or remove the row, or leave such rows out with 'missing_covariates: exclude' in the study"));
      }
      complete = false;
    } else if (covariates_[c].categorical()) {
      ATTUNE_ASSIGN_OR_RETURN(level[c], ReadLevel(covariates_[c], row, source.column, *label));
    } else {
      ATTUNE_ASSIGN_OR_RETURN(number[c], ReadNumber(covariates_[c], source, row, cell));
    }
  }
  for (std::size_t d = 0; d < design_.size(); ++d) {
    const std::size_t c = design_[d].covariate;
    out[d] = covariates_[c].categorical() ? (level[c] == design_[d].level ? 1.0 : 0.0) : number[c];
  }
  return complete;
}

absl::StatusOr<double> DesignReader::ReadNumber(const Covariate& covariate, const Source& source, std::size_t row,
                                                const std::string& cell) const {
  const absl::StatusOr<double> value = ParseDouble(cell);
  const double in_unit = value.ok() ? *value * FactorOf(source.mapping) : 0.0;
  if (value.ok() && std::isfinite(in_unit)) return in_unit;
  return absl::InvalidArgumentError(absl::StrCat(
      table_->Where(row, source.column), ": '", cell, "' is not a finite number; expected one",
      covariate.unit.empty() ? "" : absl::StrCat(" in ", covariate.unit), " for the covariate '", covariate.name, "'"));
}

absl::StatusOr<std::size_t> DesignReader::ReadLevel(const Covariate& covariate, std::size_t row, std::size_t column,
                                                    const std::string& label) const {
  const auto found = std::find(covariate.levels.begin(), covariate.levels.end(), label);
  if (found != covariate.levels.end()) return static_cast<std::size_t>(found - covariate.levels.begin());
  std::string message =
      absl::StrCat(table_->Where(row, column), ": '", label, "' is no level of the covariate '", covariate.name,
                   "', which the study declares with: ", absl::StrJoin(covariate.levels, ", "), ".");
  const auto variant = std::find_if(covariate.levels.begin(), covariate.levels.end(), [&](const std::string& level) {
    return absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(level), absl::StripAsciiWhitespace(label));
  });
  if (variant != covariate.levels.end()) absl::StrAppend(&message, " did you mean '", *variant, "'?");
  return absl::InvalidArgumentError(absl::StrCat(
      message, " Say what each of your codes stands for in site.yaml: columns: [{name: ", covariate.name, ", codes: {\"", label,
      "\": ", variant != covariate.levels.end() ? *variant : "...", "}}], or correct the cell. Codes are never guessed"));
}

}  // namespace attune

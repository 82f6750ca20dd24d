// SPDX-License-Identifier: Apache-2.0
#include "site_agent/tables/column_map.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/names.h"

namespace attune {
namespace {

absl::Status CheckCodes(const v1::ColumnMapping& mapping, const v1::CovariateConfig& covariate) {
  for (const auto& [code, level] : mapping.codes()) {
    if (std::find(covariate.levels().begin(), covariate.levels().end(), level) != covariate.levels().end()) continue;
    return absl::InvalidArgumentError(absl::StrCat("site.yaml: columns: '", mapping.name(), "' maps the code '", code, "' to '",
                                                   level, "', which is no level of the study's (",
                                                   JoinSome({covariate.levels().begin(), covariate.levels().end()}), ")"));
  }
  return absl::OkStatus();
}

absl::Status CheckMapping(const v1::ColumnMapping& mapping, const v1::StudyConfig& study) {
  const auto error = [&](absl::string_view message) {
    return absl::InvalidArgumentError(absl::StrCat("site.yaml: columns: '", mapping.name(), "' ", message));
  };
  const ColumnRole role = RoleOf(study, mapping.name());
  if (mapping.has_multiply_by() && (!std::isfinite(mapping.multiply_by()) || mapping.multiply_by() == 0)) {
    return error("has a multiply_by that is 0 or not finite; expected the factor from the site's unit to the study's");
  }
  if (mapping.has_multiply_by() && role != ColumnRole::kContinuous && role != ColumnRole::kOther) {
    return error("has multiply_by, which is for numbers; the study uses this column for labels: map them with codes");
  }
  if (!mapping.codes().empty() && role == ColumnRole::kContinuous) {
    return error("has codes, which are for labels; the study uses this column for numbers: convert units with multiply_by");
  }
  if (role != ColumnRole::kCategorical) return absl::OkStatus();
  return CheckCodes(mapping, *std::find_if(study.covariates().begin(), study.covariates().end(),
                                           [&](const auto& covariate) { return covariate.name() == mapping.name(); }));
}

}  // namespace

ColumnRole RoleOf(const v1::StudyConfig& study, absl::string_view name) {
  for (const v1::CovariateConfig& covariate : study.covariates()) {
    if (covariate.name() != name) continue;
    return covariate.type() == v1::COVARIATE_TYPE_CATEGORICAL ? ColumnRole::kCategorical : ColumnRole::kContinuous;
  }
  if (std::find(study.batch().begin(), study.batch().end(), name) != study.batch().end()) return ColumnRole::kBatch;
  return study.method().combat().fit_on().contains(std::string(name)) ? ColumnRole::kFitOn : ColumnRole::kOther;
}

absl::StatusOr<ColumnMap> ColumnMap::Create(const v1::SiteConfig& site, const v1::StudyConfig& study) {
  ColumnMap map;
  for (const v1::ColumnMapping& mapping : site.columns()) {
    if (mapping.name().empty()) {
      return absl::InvalidArgumentError("site.yaml: columns: an entry has no name; expected the study's name of the column");
    }
    if (!map.by_name_.emplace(mapping.name(), &mapping).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("site.yaml: columns: '", mapping.name(), "' is mapped twice; keep one entry"));
    }
    ATTUNE_RETURN_IF_ERROR(CheckMapping(mapping, study));
  }
  return map;
}

const v1::ColumnMapping* ColumnMap::Find(absl::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : found->second;
}

std::string ColumnMap::ColumnOf(absl::string_view name) const {
  const v1::ColumnMapping* mapping = Find(name);
  return mapping == nullptr ? std::string(name) : SiteColumn(*mapping);
}

const std::string& SiteColumn(const v1::ColumnMapping& mapping) {
  return mapping.column().empty() ? mapping.name() : mapping.column();
}

double FactorOf(const v1::ColumnMapping* mapping) {
  return mapping != nullptr && mapping->has_multiply_by() ? mapping->multiply_by() : 1.0;
}

absl::StatusOr<std::size_t> ColumnFor(const DelimitedFile& participants, const ColumnMap& map, absl::string_view name,
                                      absl::string_view use) {
  const std::string column = map.ColumnOf(name);
  if (const auto found = participants.ColumnOf(column)) return *found;
  return absl::NotFoundError(absl::StrCat(participants.path(), ":1: no column '", column, "', which the study needs as ", use,
                                          "; ", SuggestNames(column, participants.header()),
                                          " If the column has another name here, map it in site.yaml: columns: [{name: ", name,
                                          ", column: ...}]"));
}

absl::StatusOr<std::optional<std::string>> ReadLabel(absl::string_view cell, const v1::ColumnMapping* mapping,
                                                     absl::string_view where) {
  if (mapping == nullptr || mapping->codes().empty()) {
    return IsMissing(cell) ? std::nullopt : std::make_optional(std::string(cell));
  }
  // Before the missing tokens: a site may have a code that looks like one.
  if (const auto found = mapping->codes().find(std::string(cell)); found != mapping->codes().end()) return found->second;
  if (IsMissing(cell)) return std::nullopt;
  std::vector<std::string> known;
  for (const auto& [code, label] : mapping->codes()) known.push_back(absl::StrCat(code, ": ", label));
  std::sort(known.begin(), known.end());
  return absl::InvalidArgumentError(absl::StrCat(where, ": '", cell, "' is not among the codes of '", mapping->name(),
                                                 "' in site.yaml (", JoinSome(known), "); list it there or correct the cell"));
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// How the site's columns and codes read in the study's terms (site.yaml, `columns`).
#ifndef ATTUNE_SITE_AGENT_TABLES_COLUMN_MAP_H_
#define ATTUNE_SITE_AGENT_TABLES_COLUMN_MAP_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/config.pb.h"
#include "common/tables/delimited.h"

namespace attune {

// What the study uses a name for.
enum class ColumnRole { kContinuous, kCategorical, kBatch, kFitOn, kOther };

ColumnRole RoleOf(const v1::StudyConfig& study, absl::string_view name);

// The mappings of one site.yaml, by the study's names. Refers to the SiteConfig, which must live longer.
class ColumnMap {
 public:
  // Fails with InvalidArgument when a name is empty or mapped twice, when codes are given for numbers or a factor for labels,
  // when a code stands for a level that the study does not declare, or when a factor is 0 or not finite.
  static absl::StatusOr<ColumnMap> Create(const v1::SiteConfig& site, const v1::StudyConfig& study);

  // The mapping of the study's `name`, or null.
  const v1::ColumnMapping* Find(absl::string_view name) const;

  // The site's own name for the study's `name`: the same where nothing is mapped.
  std::string ColumnOf(absl::string_view name) const;

  const std::map<std::string, const v1::ColumnMapping*>& by_name() const { return by_name_; }

 private:
  std::map<std::string, const v1::ColumnMapping*> by_name_;
};

// The site's name in a mapping: the study's where none is written.
const std::string& SiteColumn(const v1::ColumnMapping& mapping);

// What the site's numbers are multiplied by; 1 without a mapping.
double FactorOf(const v1::ColumnMapping* mapping);

// Which column of participants.tsv is the study's `name`. Fails with NotFound, suggesting names; `use` says what the column is
// for.
absl::StatusOr<std::size_t> ColumnFor(const DelimitedFile& participants, const ColumnMap& map, absl::string_view name,
                                      absl::string_view use);

// A cell in the study's terms: through the codes where the mapping has some; none when it is missing. Fails with
// InvalidArgument, after `where`, for a code that is not listed.
absl::StatusOr<std::optional<std::string>> ReadLabel(absl::string_view cell, const v1::ColumnMapping* mapping,
                                                     absl::string_view where);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_COLUMN_MAP_H_

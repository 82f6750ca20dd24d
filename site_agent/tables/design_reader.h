// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_TABLES_DESIGN_READER_H_
#define ATTUNE_SITE_AGENT_TABLES_DESIGN_READER_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "common/kernel/study_facts.h"
#include "common/tables/delimited.h"
#include "site_agent/tables/column_map.h"

namespace attune {

// Turns rows of participants.tsv into rows of the design. Refers to the table and the map's SiteConfig, which must live longer.
class DesignReader {
 public:
  // Fails with NotFound when the table lacks the column of a covariate.
  static absl::StatusOr<DesignReader> Create(const v1::StudyConfig& study, const ColumnMap& map, const DelimitedFile& table);

  std::size_t columns() const { return design_.size(); }

  // Writes the columns() entries of the design, in the order of DesignColumns, from the cells of row `row`. False when a
  // covariate is missing and the study excludes such rows. Fails with InvalidArgument (file, line, column) when one is missing
  // otherwise, is no number, or no declared level.
  absl::StatusOr<bool> Read(std::size_t row, const std::vector<std::string>& cells, std::span<double> out) const;

 private:
  struct Source {
    std::size_t column = 0;                      // of participants.tsv
    const v1::ColumnMapping* mapping = nullptr;  // or none
  };

  absl::StatusOr<double> ReadNumber(const Covariate& covariate, const Source& source, std::size_t row,
                                    const std::string& cell) const;
  absl::StatusOr<std::size_t> ReadLevel(const Covariate& covariate, std::size_t row, std::size_t column,
                                        const std::string& label) const;

  const DelimitedFile* table_ = nullptr;
  std::vector<Covariate> covariates_;
  std::vector<DesignColumn> design_;
  std::vector<Source> sources_;  // one per covariate
  bool exclude_missing_ = false;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_DESIGN_READER_H_

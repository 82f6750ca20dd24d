// SPDX-License-Identifier: Apache-2.0
//
// The report's numbers as tables, with all their digits.
#ifndef ATTUNE_COMMON_REPORT_TABLES_H_
#define ATTUNE_COMMON_REPORT_TABLES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "attune/v1/report.pb.h"
#include "common/report/report.h"

namespace attune {

// The paths that WriteReportTables writes: "<stem>.findings.tsv", "<stem>.outcomes.tsv", "<stem>.features.tsv" and, under
// per_batch,
// "<stem>.batches.tsv" and "<stem>.corrections.tsv".
std::vector<std::string> ReportTables(const std::string& stem, bool per_batch);

// `report` must be that of `input`. features.tsv has every feature of the study; corrections.tsv a row per batch and feature
// that the report has in detail. Files may be read by their owner only. Fails as files do.
absl::Status WriteReportTables(const ReportInput& input, const v1::Report& report, const std::string& stem);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_TABLES_H_

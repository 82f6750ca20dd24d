// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_REPORT_FINDINGS_H_
#define ATTUNE_COMMON_REPORT_FINDINGS_H_

#include <cstdint>

#include "attune/v1/report.pb.h"
#include "common/evidence/summary.h"
#include "common/methods/combat/form.h"
#include "common/report/figures.h"
#include "common/report/report.h"

namespace attune {

// Thresholds of findings; docs/report.md lists them.
inline constexpr double kFewSubjects = 20;               // of a batch: a warning below
inline constexpr double kComfortableSubjects = 30;       // a note below
inline constexpr double kUnequalBatches = 2;             // largest over smallest: a note above
inline constexpr double kScaleRatioAfter = 1.25;         // a warning above
inline constexpr double kAssociationsLost = 0.1;         // part of a covariate's features that are lost: a warning above,
inline constexpr std::uint64_t kAssociationsSpared = 2;  // and above so many features: single ones come and go by chance

// Writes `findings`, the gravest first. `study`, `features` and `batches` of the report must be there.
void WriteFindings(const ReportInput& input, const combat::Setup& setup, const EvidenceSummary& summary,
                   const FigureReader& reader, v1::Report& report);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_FINDINGS_H_

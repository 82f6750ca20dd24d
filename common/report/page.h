// SPDX-License-Identifier: Apache-2.0
//
// The report as JSON, and as one HTML file with everything in it.
#ifndef ATTUNE_COMMON_REPORT_PAGE_H_
#define ATTUNE_COMMON_REPORT_PAGE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/report.pb.h"

namespace attune {

// Compact JSON: what report.json holds, and what the page reads. Keys as in the .proto file, all of them; the same message
// gives the same bytes.
std::string ReportJson(const v1::Report& report);

// The bytes that ReportJson takes for a text, with its quotes; never too few.
std::size_t JsonStringBytes(absl::string_view text);

// Whether this program was built with the page in it (deploy/build-web.sh).
bool HasReportPage();

// The page with `json` in it, written so that no text of it can end its block or begin markup. `page`: the built page, with the
// place for the JSON in it once; by default the program's own. Fails with FailedPrecondition when there is none.
absl::StatusOr<std::string> ReportPage(absl::string_view json);
absl::StatusOr<std::string> ReportPage(absl::string_view json, absl::string_view page);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_PAGE_H_

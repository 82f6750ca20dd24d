// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_REPORT_EMBEDDED_PAGE_H_
#define ATTUNE_COMMON_REPORT_EMBEDDED_PAGE_H_

#include "absl/strings/string_view.h"

namespace attune {

// The built page of common/report/web; empty where the programs were built without Node.js.
absl::string_view EmbeddedPage();

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_EMBEDDED_PAGE_H_

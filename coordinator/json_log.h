// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_JSON_LOG_H_
#define ATTUNE_COORDINATOR_JSON_LOG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace attune {

// From now on the default logger writes one JSON object a line: {"time":"<UTC>","level":"info","message":"..."}.
void LogAsJson();

// Such a line, with its end. Whatever the text is (a peer may have chosen parts of it), the line is valid JSON in UTF-8 and one
// line.
std::string JsonLogLine(absl::Time time, absl::string_view level, absl::string_view message);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_JSON_LOG_H_

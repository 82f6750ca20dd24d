// SPDX-License-Identifier: Apache-2.0
//
// The report's sentences: settings, the paragraph for a paper, and what figures cannot tell.
#ifndef ATTUNE_COMMON_REPORT_WORDS_H_
#define ATTUNE_COMMON_REPORT_WORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "attune/v1/report.pb.h"
#include "common/methods/combat/form.h"
#include "common/report/report.h"

namespace attune {

// "1,035".
std::string WithCommas(std::uint64_t number);
// "58 of 68".
std::string CountOf(std::uint64_t count, std::uint64_t of);
// "1 batch", "2 batches".
std::string Counted(std::uint64_t count, const std::string& one, const std::string& many);

// The settings that matter. `shrunk`: empirical Bayes was used.
std::vector<std::string> OptionsInWords(const ReportInput& input, const combat::Setup& setup, bool shrunk);

// Writes `methods` and `references`. The rest of the report must be there.
void WriteMethods(const ReportInput& input, const combat::Setup& setup, bool shrunk, v1::Report& report);

std::vector<std::string> LimitsOf(const ReportInput& input);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_WORDS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The report of a study (proto/attune/v1/report.proto) from its record: evidence, pooled parameters and, under per_batch, each
// batch's answer and correction. Pure: the same record gives the same message.
#ifndef ATTUNE_COMMON_REPORT_REPORT_H_
#define ATTUNE_COMMON_REPORT_REPORT_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/report.pb.h"
#include "common/kernel/batch_id.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"

namespace attune {

// What a report is made of. All of it is released already: nothing here is of single people.
struct ReportInput {
  std::string consortium;
  std::string state;  // "corrected", "complete", "closed"
  std::string manifest_sha256;
  std::string correction_sha256;
  std::string evidence_sha256;
  v1::StudyConfig config;
  StudyFacts facts;    // of those who took part
  bool masked = true;  // pooled only: the sums were masked; false in a simulation
  std::size_t sites = 0;
  std::vector<std::string> left_out;              // sites whose sums did not come in time, sorted
  std::map<std::string, std::string> unfinished;  // site -> why it has not harmonized, as its state reads
  std::vector<std::string> notes;                 // the method's, on features and on batches
  Blocks common;                                  // Correction::common
  Blocks evidence;                                // Correction::evidence
  // The filled forms of round 1 and the corrections; empty when the release is pooled.
  std::map<BatchId, Summary> answers;
  std::map<BatchId, Blocks> corrections;
};

// A page with less than this many bytes of data stays below 5 MB. Features are listed as far as there is room.
inline constexpr std::size_t kReportBytes = 4'200'000;
// The most features that are listed.
inline constexpr Eigen::Index kMostListed = 100'000;

// `bytes`: the most that the report may take as JSON.
// Fails with InvalidArgument when evidence, parameters, answers or corrections are not those of this study, with
// FailedPrecondition when the study's method is another than combat/1, and with ResourceExhausted when not even one feature
// fits.
absl::StatusOr<v1::Report> MakeReport(const ReportInput& input, std::size_t bytes = kReportBytes);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_REPORT_H_

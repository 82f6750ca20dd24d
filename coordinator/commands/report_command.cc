// SPDX-License-Identifier: Apache-2.0
//
// report: what a statistician wants to know of a study, in one page, from its record.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/report/page.h"
#include "common/report/report.h"
#include "common/report/tables.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/commands/commands.h"
#include "coordinator/round_outcome.h"
#include "coordinator/state_folder.h"
#include "coordinator/study_book.h"
#include "coordinator/study_view.h"

namespace attune {
namespace {

constexpr char kExtension[] = ".html";

struct ReportOptions {
  std::string study;
  std::string out;
  bool force = false;
};

// Files of the record are checked against their digests; what is wrong with them went wrong on this machine.
absl::StatusOr<Bundle> LoadBundle(const BlobStore& blobs, const std::string& sha256, v1::BundleKind kind,
                                  const BundleBinding& binding) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
  return OpenBundle(path, kind, binding);
}

absl::StatusOr<Blocks> OnlyPart(Bundle bundle, const char* name) {
  const auto part = bundle.parts.find(name);
  if (part == bundle.parts.end()) return absl::DataLossError(absl::StrCat("a file of the study has no part '", name, "'"));
  return std::move(part->second);
}

// The answers of round 1 and the corrections, by batch.
absl::Status ReadBatches(const StudyStatus& status, const BlobStore& blobs, ReportInput& input) {
  const RoundRecord& first = status.rounds.front();
  for (const auto& [site, sha256] : first.answers) {
    ATTUNE_ASSIGN_OR_RETURN(
        Bundle answer, LoadBundle(blobs, sha256, v1::BUNDLE_KIND_ANSWER, {status.manifest_sha256, 1, first.question_sha256}));
    input.answers.merge(answer.parts);
  }
  for (const auto& [site, sha256] : status.correction->by_site) {
    ATTUNE_ASSIGN_OR_RETURN(Bundle correction, LoadBundle(blobs, sha256, v1::BUNDLE_KIND_CORRECTION_SITE,
                                                          {status.manifest_sha256, status.correction->round, ""}));
    input.corrections.merge(correction.parts);
  }
  return absl::OkStatus();
}

void ReadSites(const StudyStatus& status, ReportInput& input) {
  const std::vector<std::string> members = status.Members();
  input.sites = members.size();
  for (const auto& [site, registration] : status.sites) {
    if (!std::binary_search(members.begin(), members.end(), site)) {
      input.left_out.push_back(site);
      continue;
    }
    const auto report = status.reports.find(site);
    if (report == status.reports.end()) {
      input.unfinished[site] = "it has not reported yet";
    } else if (report->second != v1::SITE_STATE_HARMONIZED) {
      input.unfinished[site] = StateName(report->second);
    }
  }
}

absl::StatusOr<ReportInput> ReadRecord(const StateFolder& state, const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, state.journal->Read(study));
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, ReplayStudy(study, entries));
  if (!status.correction.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the study '", study, "' is ", StateName(status.state), " and has no correction yet, so that there is nothing to ",
        "report; 'attune-coordinator study show ", study, "' says what it waits for"));
  }
  const CorrectionRecord& correction = *status.correction;
  if (correction.evidence_sha256.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the method of the study '", study, "' gives no evidence to report"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, LoadManifest(state.blobs, status.manifest_sha256));
  const BundleBinding binding{status.manifest_sha256, correction.round, ""};
  ATTUNE_ASSIGN_OR_RETURN(Bundle common,
                          LoadBundle(state.blobs, correction.common_sha256, v1::BUNDLE_KIND_CORRECTION_COMMON, binding));
  ATTUNE_ASSIGN_OR_RETURN(Bundle evidence,
                          LoadBundle(state.blobs, correction.evidence_sha256, v1::BUNDLE_KIND_EVIDENCE, binding));
  ReportInput input;
  input.consortium = manifest.consortium();
  input.state = StateName(status.state);
  input.manifest_sha256 = status.manifest_sha256;
  input.correction_sha256 = correction.common_sha256;
  input.evidence_sha256 = correction.evidence_sha256;
  input.config = manifest.config();
  input.facts = FactsOf(manifest, status.Members());
  input.masked = status.masked;
  ReadSites(status, input);
  input.notes.assign(common.header.notes().begin(), common.header.notes().end());
  input.notes.insert(input.notes.end(), evidence.header.notes().begin(), evidence.header.notes().end());
  ATTUNE_ASSIGN_OR_RETURN(input.common, OnlyPart(std::move(common), kCommonPart));
  ATTUNE_ASSIGN_OR_RETURN(input.evidence, OnlyPart(std::move(evidence), kEvidencePart));
  if (input.facts.release == Release::kPerBatch) ATTUNE_RETURN_IF_ERROR(ReadBatches(status, state.blobs, input));
  return input;
}

absl::Status WriteReport(const std::string& dir, const ReportOptions& options) {
  if (!absl::EndsWith(options.out, kExtension)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--out '", options.out, "' must end in ", kExtension, ": it names the page"));
  }
  const std::string stem(absl::StripSuffix(options.out, kExtension));
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  ATTUNE_ASSIGN_OR_RETURN(const ReportInput input, ReadRecord(state, options.study));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Report report, MakeReport(input));

  const std::string json_path = absl::StrCat(stem, ".json");
  std::vector<std::string> outputs = ReportTables(stem, report.has_batches());
  outputs.push_back(json_path);
  if (HasReportPage()) outputs.push_back(options.out);
  ATTUNE_RETURN_IF_ERROR(CheckOutputs(outputs, options.force));
  const std::string json = ReportJson(report);
  ATTUNE_RETURN_IF_ERROR(WriteReportTables(input, report, stem));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(json_path, json, FileAccess::kOwnerOnly));
  if (const absl::StatusOr<std::string> page = ReportPage(json); page.ok()) {
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(options.out, *page, FileAccess::kOwnerOnly));
    spdlog::info("Wrote '{}', and beside it its numbers as JSON and in {} tables.", options.out, outputs.size() - 2);
  } else {
    spdlog::warn("Wrote '{}' and {} tables, but no page: {}", json_path, outputs.size() - 1,
                 std::string(page.status().message()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddReportCommand(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("report", "Write a study's findings and figures as a page, JSON and tables");
  const auto options = std::make_shared<ReportOptions>();
  command->add_option("name", options->study, "The study")->required();
  command->add_option("--out", options->out, "The page; .json and .tsv files of the same name are written beside it")
      ->required();
  command->add_flag("--force", options->force, "Write over existing files");
  command->callback([&line, options] { line.run = [&line, options] { return WriteReport(line.dir, *options); }; });
}

}  // namespace attune

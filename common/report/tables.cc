// SPDX-License-Identifier: Apache-2.0
#include "common/report/tables.h"

#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/evidence/site_effect.h"
#include "common/report/batches.h"
#include "common/report/columns.h"
#include "common/report/figures.h"
#include "common/tables/tsv_writer.h"

namespace attune {
namespace {

using Eigen::Index;

constexpr char kFindings[] = ".findings.tsv";
constexpr char kOutcomes[] = ".outcomes.tsv";
constexpr char kFeatures[] = ".features.tsv";
constexpr char kBatches[] = ".batches.tsv";
constexpr char kCorrections[] = ".corrections.tsv";

absl::Status WriteRows(const std::string& path, const std::vector<std::vector<std::string>>& rows) {
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter table, TsvWriter::Create(path, FileAccess::kOwnerOnly));
  for (const std::vector<std::string>& row : rows) table.WriteRow(row);
  return std::move(table).Commit();
}

absl::Status WriteFindingRows(const v1::Report& report, const std::string& path) {
  std::vector<std::vector<std::string>> rows = {{"severity", "code", "title", "detail", "remedy"}};
  for (const v1::Finding& finding : report.findings()) {
    const absl::string_view severity = absl::StripPrefix(v1::FindingSeverity_Name(finding.severity()), "FINDING_SEVERITY_");
    rows.push_back({absl::AsciiStrToLower(severity), finding.code(), finding.title(), finding.detail(), finding.remedy()});
  }
  return WriteRows(path, rows);
}

absl::Status WriteOutcomeRows(const v1::Report& report, const std::string& path) {
  std::vector<std::vector<std::string>> rows = {{"figure", "before", "after", "n", "test", "formula"}};
  for (const v1::Outcome& outcome : report.outcomes()) {
    rows.push_back({outcome.label(), FormatDouble(outcome.before_value()), FormatDouble(outcome.after_value()), outcome.n(),
                    outcome.test(), outcome.formula()});
  }
  return WriteRows(path, rows);
}

absl::Status WriteFeatureRows(const ReportInput& input, const std::string& path) {
  const FigureReader reader(input.evidence, input.facts);
  std::vector<std::string> header = {"feature", "tested", "n"};
  for (const std::string phase : {"before", "after"}) {
    for (const char* figure : {"f", "neg_log10_p", "partial_eta_squared", "cohens_f"})
      header.push_back(absl::StrCat(phase, "_", figure));
    if (reader.has_scale_ratios()) header.push_back(absl::StrCat(phase, "_scale_ratio"));
    for (const Covariate& covariate : input.facts.covariates) {
      header.push_back(absl::StrCat(phase, "_", covariate.name, "_f"));
      header.push_back(absl::StrCat(phase, "_", covariate.name, "_neg_log10_p"));
    }
  }
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter table, TsvWriter::Create(path, FileAccess::kOwnerOnly));
  table.WriteRow(header);
  for (Index f = 0; f < static_cast<Index>(input.facts.features.size()); ++f) {
    std::vector<std::string> row = {input.facts.features[static_cast<std::size_t>(f)], reader.tested(f) ? "1" : "0",
                                    FormatDouble(input.evidence["count"](0, f))};
    for (const char* phase : kPhases) {
      row.push_back(FormatDouble(reader.F(phase, f)));
      row.push_back(FormatDouble(reader.NegLog10P(phase, f)));
      row.push_back(FormatDouble(reader.PartialEtaSquared(phase, f)));
      row.push_back(FormatDouble(reader.CohensF(phase, f)));
      if (reader.has_scale_ratios()) row.push_back(FormatDouble(std::exp(reader.LogScaleRatio(phase, f))));
      for (std::size_t c = 0; c < input.facts.covariates.size(); ++c) {
        row.push_back(FormatDouble(reader.CovariateF(phase, c, f)));
        row.push_back(FormatDouble(reader.CovariateNegLog10P(phase, c, f)));
      }
    }
    table.WriteRow(row);
  }
  return std::move(table).Commit();
}

absl::Status WriteBatchRows(const ReportInput& input, const v1::BatchFigures& batches, const std::string& path) {
  std::vector<std::string> header = {"site",       "batch",   "subjects", "reference", "location_only", "prior_gamma_bar",
                                     "prior_tau2", "prior_a", "prior_b"};
  for (const Covariate& covariate : input.facts.covariates) {
    if (covariate.categorical()) {
      for (const std::string& level : covariate.levels) header.push_back(absl::StrCat(covariate.name, "_share_", level));
    } else {
      header.push_back(absl::StrCat(covariate.name, "_mean"));
      header.push_back(absl::StrCat(covariate.name, "_sd"));
    }
  }
  std::vector<std::vector<std::string>> rows = {header};
  for (const v1::ReportBatch& batch : batches.batches()) {
    std::vector<std::string> row = {batch.site(), batch.label(), absl::StrCat(batch.subjects()), batch.reference() ? "1" : "0",
                                    batch.location_only() ? "1" : "0"};
    const v1::BatchPriorFigures& prior = batch.prior();
    for (const double value : {prior.gamma_bar(), prior.tau2(), prior.a(), prior.b()}) {
      row.push_back(batch.has_prior() ? FormatDouble(value) : "n/a");
    }
    for (int c = 0; c < batch.covariates_size(); ++c) {
      const v1::BatchCovariate& covariate = batch.covariates(c);
      const Covariate& declared = input.facts.covariates[static_cast<std::size_t>(c)];
      if (!declared.categorical()) {
        row.push_back(covariate.has_mean() ? FormatDouble(covariate.mean()) : "n/a");
        row.push_back(covariate.has_sd() ? FormatDouble(covariate.sd()) : "n/a");
      }
      for (int level = 0; level < static_cast<int>(declared.levels.size()); ++level) {
        row.push_back(level < covariate.shares_size() ? FormatDouble(covariate.shares(level)) : "n/a");
      }
    }
    rows.push_back(std::move(row));
  }
  return WriteRows(path, rows);
}

// The numbers in the study of the features that the report has in detail.
std::vector<Index> DetailedFeatures(const v1::FeatureFigures& features) {
  const auto entry = [](const std::string& column, std::size_t at) -> Index {
    if (column.empty()) return static_cast<Index>(at);
    std::uint32_t value = 0;
    for (std::size_t i = 4; i > 0; --i) value = (value << 8) | static_cast<unsigned char>(column[4 * at + i - 1]);
    return value;
  };
  std::vector<Index> numbers;
  for (std::size_t i = 0; i < features.detailed_count(); ++i) {
    numbers.push_back(entry(features.numbers(), static_cast<std::size_t>(entry(features.detailed(), i))));
  }
  return numbers;
}

absl::Status WriteCorrectionRows(const ReportInput& input, const v1::Report& report, const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(const combat::Setup setup, combat::SetupOf(input.facts));
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter table, TsvWriter::Create(path, FileAccess::kOwnerOnly));
  table.WriteRow({"feature", "batch", "gamma_hat", "gamma", "delta2_hat", "delta2", "mean_before", "mean_after"});
  for (const Index feature : DetailedFeatures(report.features())) {
    const std::vector<BatchFeature> values = BatchesOfFeature(input, setup, feature);
    std::size_t b = 0;
    for (const auto& [batch, answer] : input.answers) {
      const BatchFeature& value = values[b++];
      table.WriteRow({input.facts.features[static_cast<std::size_t>(feature)], batch, FormatDouble(value.gamma_hat),
                      FormatDouble(value.gamma), FormatDouble(value.delta2_hat), FormatDouble(value.delta2),
                      FormatDouble(value.mean_before), FormatDouble(value.mean_after)});
    }
  }
  return std::move(table).Commit();
}

}  // namespace

std::vector<std::string> ReportTables(const std::string& stem, bool per_batch) {
  std::vector<std::string> paths;
  for (const char* name : {kFindings, kOutcomes, kFeatures}) paths.push_back(stem + name);
  if (!per_batch) return paths;
  for (const char* name : {kBatches, kCorrections}) paths.push_back(stem + name);
  return paths;
}

absl::Status WriteReportTables(const ReportInput& input, const v1::Report& report, const std::string& stem) {
  ATTUNE_RETURN_IF_ERROR(WriteFindingRows(report, stem + kFindings));
  ATTUNE_RETURN_IF_ERROR(WriteOutcomeRows(report, stem + kOutcomes));
  ATTUNE_RETURN_IF_ERROR(WriteFeatureRows(input, stem + kFeatures));
  if (!report.has_batches()) return absl::OkStatus();
  ATTUNE_RETURN_IF_ERROR(WriteBatchRows(input, report.batches(), stem + kBatches));
  return WriteCorrectionRows(input, report, stem + kCorrections);
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/summary.h"

#include <cstdint>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/evidence/summary.h"
#include "common/wire/manifest.h"
#include "coordinator/text_table.h"

namespace attune {
namespace {

void Fill(const EvidenceSummary::Phase& phase, const std::vector<Covariate>& covariates, v1::Figures& figures) {
  figures.set_features_tested(static_cast<std::uint64_t>(phase.tested));
  figures.set_features_with_batch_effect(static_cast<std::uint64_t>(phase.with_batch_effect));
  figures.set_median_partial_eta_squared(phase.median_partial_eta_squared);
  if (phase.median_scale_ratio.has_value()) figures.set_median_scale_ratio(*phase.median_scale_ratio);
  for (std::size_t i = 0; i < covariates.size() && i < phase.covariate_features.size(); ++i) {
    v1::CovariateFigure& figure = *figures.add_covariates();
    figure.set_covariate(covariates[i].name);
    figure.set_features_associated(static_cast<std::uint64_t>(phase.covariate_features[i]));
  }
}

std::string Fixed(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.4f", value);
  return buffer;
}

std::string CountOf(std::uint64_t count, std::uint64_t of) { return absl::StrCat(count, " of ", of); }

}  // namespace

std::string ReleaseName(Release release) { return release == Release::kPooled ? "pooled" : "per_batch"; }

absl::StatusOr<v1::StudySummary> MakeSummary(const v1::Manifest& manifest, const std::string& manifest_sha256,
                                             const Blocks& evidence, const std::vector<std::string>& notes) {
  const StudyFacts facts = FactsOf(manifest);
  ATTUNE_ASSIGN_OR_RETURN(const EvidenceSummary figures, Summarize(evidence, facts));
  v1::StudySummary summary;
  summary.set_study(manifest.config().study());
  summary.set_manifest_sha256(manifest_sha256);
  summary.set_method(manifest.method());
  summary.set_release(ReleaseName(facts.release));
  summary.set_software_version(kVersion);
  summary.set_sites(static_cast<std::uint64_t>(manifest.roster_size()));
  summary.set_batches(facts.batches.size());
  summary.set_features(facts.features.size());
  summary.set_subjects(static_cast<std::uint64_t>(figures.subjects));
  Fill(figures.before, facts.covariates, *summary.mutable_before());
  Fill(figures.after, facts.covariates, *summary.mutable_after());
  for (const std::string& note : notes) summary.add_notes(note);
  return summary;
}

std::string FormatSummary(const v1::StudySummary& summary) {
  const v1::Figures& before = summary.before();
  const v1::Figures& after = summary.after();
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"", "before", "after"});
  rows.push_back({"features with a batch effect", CountOf(before.features_with_batch_effect(), before.features_tested()),
                  CountOf(after.features_with_batch_effect(), after.features_tested())});
  rows.push_back({"median partial eta squared of batch", Fixed(before.median_partial_eta_squared()),
                  Fixed(after.median_partial_eta_squared())});
  if (before.has_median_scale_ratio() && after.has_median_scale_ratio()) {
    rows.push_back({"median scale ratio of batches", Fixed(before.median_scale_ratio()), Fixed(after.median_scale_ratio())});
  }
  for (int i = 0; i < before.covariates_size() && i < after.covariates_size(); ++i) {
    rows.push_back({absl::StrCat("features associated with ", before.covariates(i).covariate()),
                    CountOf(before.covariates(i).features_associated(), before.features_tested()),
                    CountOf(after.covariates(i).features_associated(), after.features_tested())});
  }
  return FormatTable(rows, true);
}

}  // namespace attune

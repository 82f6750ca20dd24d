// SPDX-License-Identifier: Apache-2.0
#include "common/report/findings.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/text.h"
#include "common/evidence/site_effect.h"
#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/pooled_model.h"
#include "common/report/words.h"

namespace attune {
namespace {

using Eigen::Index;

constexpr std::size_t kMostNamed = 20;

class Findings {
 public:
  explicit Findings(v1::Report& report) : report_(report) {}
  void Add(v1::FindingSeverity severity, const char* code, std::string title, std::string detail, std::string remedy = "") {
    v1::Finding& finding = *report_.add_findings();
    finding.set_severity(severity);
    finding.set_code(code);
    finding.set_title(std::move(title));
    finding.set_detail(std::move(detail));
    finding.set_remedy(std::move(remedy));
  }

 private:
  v1::Report& report_;
};

// The site's name where it has no other batch.
std::string BatchName(const v1::BatchFigures& batches, const v1::ReportBatch& batch) {
  const auto of_site = std::count_if(batches.batches().begin(), batches.batches().end(),
                                     [&](const v1::ReportBatch& other) { return other.site() == batch.site(); });
  return of_site == 1 ? batch.site() : MakeBatchId(batch.site(), batch.label());
}

// Which batches have `low` <= n < `high`, with n.
std::vector<std::string> BatchesBetween(const v1::BatchFigures& batches, double low, double high) {
  std::vector<std::string> names;
  for (const v1::ReportBatch& batch : batches.batches()) {
    const auto n = static_cast<double>(batch.subjects());
    if (n >= low && n < high) names.push_back(absl::StrCat(BatchName(batches, batch), " (", batch.subjects(), ")"));
  }
  return names;
}

void OnSites(const ReportInput& input, Findings& findings) {
  for (const std::string& site : input.left_out) {
    findings.Add(v1::FINDING_SEVERITY_WARNING, "site_left_out", absl::StrCat("Site ", site, " is not part of the result"),
                 "Its sums did not come in time, and the others went on without it. Its data are not harmonized by this study.",
                 "To have it in, begin a new study.");
  }
  for (const auto& [site, state] : input.unfinished) {
    findings.Add(v1::FINDING_SEVERITY_WARNING, "site_unfinished", absl::StrCat("Site ", site, " has not harmonized its data"),
                 absl::StrCat("Its state is: ", state, ". The figures after are computed as if it had."),
                 "Ask the site; 'attune-site run' goes on where it stopped.");
  }
}

void OnFeaturesLeftOut(const ReportInput& input, const v1::FeatureFigures& features, Findings& findings) {
  struct Reason {
    combat::FeatureStatus status;
    const char* words;
    const char* remedy;
  };
  static constexpr Reason kReasons[] = {
      {combat::FeatureStatus::kConstant, "do not vary within some batch", "Look at these features at the sites."},
      {combat::FeatureStatus::kEmpty, "are missing in everybody of some batch", "Leave the features or such batches out."},
      {combat::FeatureStatus::kSingular, "are present in too few people to separate the covariates",
       "Leave the features or some covariates out."},
      {combat::FeatureStatus::kNoResidualVariance, "are explained exactly by the covariates",
       "Such a feature is a covariate; leave it out of one of the two."},
  };
  std::uint64_t left_out = 0;
  for (const Reason& reason : kReasons) {
    std::vector<std::string> names;
    std::uint64_t count = 0;
    const auto status = input.common["status"];
    for (Index f = 0; f < status.cols(); ++f) {
      if (status(0, f) != static_cast<double>(reason.status)) continue;
      ++count;
      // All are counted, some named: of millions of voxels, names would fill the page.
      if (names.size() < kMostNamed) names.push_back(input.facts.features[static_cast<std::size_t>(f)]);
    }
    left_out += count;
    if (count == 0) continue;
    const std::string more = count > names.size() ? absl::StrCat(" and ", WithCommas(count - names.size()), " more") : "";
    findings.Add(v1::FINDING_SEVERITY_WARNING, "features_left_out",
                 absl::StrCat(Counted(count, "feature is", "features are"), " left as they are at every site"),
                 absl::StrCat("They ", reason.words, ": ", JoinSome(names, kMostNamed), more, "."), reason.remedy);
  }
  const std::uint64_t untested = features.total() - features.tested() - left_out;
  if (untested > 0) {
    findings.Add(v1::FINDING_SEVERITY_INFO, "features_not_tested",
                 absl::StrCat(Counted(untested, "feature was", "features were"), " adjusted, but could not be tested"),
                 "There are too few subjects for the number of batches and covariates, or the figures are too large.");
  }
  if (features.tested() == 0) {
    findings.Add(v1::FINDING_SEVERITY_ERROR, "nothing_tested", "No feature could be tested",
                 "There are no figures before and after: nothing tells whether this study helped.",
                 "Look at the other findings; have more subjects, or fewer covariates.");
  }
}

void OnBatches(const ReportInput& input, const combat::Setup& setup, const v1::BatchFigures& batches, Findings& findings) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<std::string> small;
  double least = kInfinity;
  double most = 0;
  for (const v1::ReportBatch& batch : batches.batches()) {
    if (batch.location_only()) small.push_back(absl::StrCat(BatchName(batches, batch), " (", batch.subjects(), ")"));
    least = std::min(least, static_cast<double>(batch.subjects()));
    most = std::max(most, static_cast<double>(batch.subjects()));
  }
  if (!small.empty()) {
    findings.Add(v1::FINDING_SEVERITY_WARNING, "small_batches",
                 absl::StrCat(Counted(small.size(), "batch is", "batches are"), " corrected in location only"),
                 absl::StrCat("They have fewer subjects to estimate on than min_batch_size ", input.facts.min_batch_size, ": ",
                              JoinSome(small, kMostNamed), ". Their spread stays as it is."),
                 "Merge such a batch with another of the same scanner model, or wait for more subjects.");
  }
  if (const auto few = BatchesBetween(batches, 0, kFewSubjects); !few.empty()) {
    findings.Add(v1::FINDING_SEVERITY_WARNING, "few_subjects",
                 absl::StrCat(Counted(few.size(), "batch has", "batches have"), " fewer than ", kFewSubjects, " subjects"),
                 absl::StrCat("Their location and scale are poorly known: ", JoinSome(few, kMostNamed), "."),
                 "Read figures of these batches with care; merge batches of the same scanner, or have more subjects.");
  }
  if (const auto few = BatchesBetween(batches, kFewSubjects, kComfortableSubjects); !few.empty()) {
    findings.Add(
        v1::FINDING_SEVERITY_INFO, "few_subjects_note",
        absl::StrCat(Counted(few.size(), "batch has", "batches have"), " fewer than ", kComfortableSubjects, " subjects"),
        absl::StrCat("Enough to go on with, but not many: ", JoinSome(few, kMostNamed), "."));
  }
  if (batches.batches_size() > 1 && most > kUnequalBatches * least) {
    char ratio[64];
    std::snprintf(ratio, sizeof(ratio), "%.1f", most / least);
    findings.Add(v1::FINDING_SEVERITY_INFO, "unequal_batches", "Batches are of very different size",
                 absl::StrCat("The largest has ", most, " subjects, the smallest ", least, ": ", ratio,
                              " times as many. The large ones set what all are moved to."),
                 setup.reference.empty() ? "If that is not wanted, name a reference batch." : "");
  }
}

void OnEffect(const ReportInput& input, const FigureReader& reader, const EvidenceSummary& summary, v1::Report& report,
              Findings& findings) {
  const auto before = static_cast<std::uint64_t>(summary.before.with_batch_effect);
  const auto after = static_cast<std::uint64_t>(summary.after.with_batch_effect);
  const auto tested = static_cast<std::uint64_t>(summary.after.tested);
  if (tested == 0) return;
  constexpr char kOptimistic[] = " In-sample, and so optimistic: see the limits.";
  if (after > 0) {
    std::vector<std::string> names;
    for (const Index f : reader.Ranked(kPhases[1])) {
      if (names.size() == std::min<std::uint64_t>(after, kMostNamed)) break;
      names.push_back(input.facts.features[static_cast<std::size_t>(f)]);
    }
    const std::string more = after > names.size() ? absl::StrCat(" and ", WithCommas(after - names.size()), " more") : "";
    findings.Add(
        v1::FINDING_SEVERITY_WARNING, "batch_effect_remains",
        absl::StrCat(Counted(after, "feature", "features"), " still affected by batch"),
        absl::StrCat("Of ", WithCommas(tested), " tested features ", WithCommas(before), " had a batch effect before and ",
                     WithCommas(after), " have one after (F test, false discovery rate 0.05): ", JoinSome(names, kMostNamed),
                     more, "."),
        "Empirical Bayes leaves a part of an effect that few features share; prior: none does not. Look at these features.");
  } else {
    findings.Add(v1::FINDING_SEVERITY_OK, "batch_effect_removed", "No feature has a batch effect after",
                 absl::StrCat("Of ", WithCommas(tested), " tested features ", WithCommas(before),
                              " had one before (F test, false discovery rate 0.05).", kOptimistic));
  }
  if (before == 0) {
    findings.Add(
        v1::FINDING_SEVERITY_INFO, "no_batch_effect_before", "No feature had a batch effect before",
        "There was nothing of this kind to remove; harmonization can only add noise to means, though spreads may differ.",
        "Think about whether these data need harmonization.");
  }
  if (summary.after.median_scale_ratio.has_value()) {
    char text[128];
    std::snprintf(text, sizeof(text), "The median scale ratio is %.3f before and %.3f after.",
                  *summary.before.median_scale_ratio, *summary.after.median_scale_ratio);
    if (*summary.after.median_scale_ratio > kScaleRatioAfter) {
      findings.Add(v1::FINDING_SEVERITY_WARNING, "scales_differ", "Batches still differ in spread", text,
                   input.config.method().combat().mean_only()
                       ? "mean_only leaves spreads as they are: leave it out."
                       : "Look at the plot of scale ratios for the features that it is of.");
    } else {
      findings.Add(v1::FINDING_SEVERITY_OK, "scales_alike", "Batches spread alike after", absl::StrCat(text, kOptimistic));
    }
  }
  for (std::size_t c = 0; c < input.facts.covariates.size(); ++c) {
    const auto had = static_cast<std::uint64_t>(summary.before.covariate_features[c]);
    const auto has = static_cast<std::uint64_t>(summary.after.covariate_features[c]);
    const std::string& name = input.facts.covariates[c].name;
    const std::string detail = absl::StrCat("Of ", WithCommas(tested), " tested features ", WithCommas(had),
                                            " were associated with ", name, " before and ", WithCommas(has), " are after.");
    if (had == 0 && has == 0) {
      findings.Add(v1::FINDING_SEVERITY_INFO, "no_covariate_effects", absl::StrCat("No feature is associated with ", name),
                   absl::StrCat("Neither before nor after, of ", WithCommas(tested), " tested features."));
    } else if (has + kAssociationsSpared < had &&
               static_cast<double>(has) < (1 - kAssociationsLost) * static_cast<double>(had)) {
      findings.Add(v1::FINDING_SEVERITY_WARNING, "covariate_effects_lost",
                   absl::StrCat("Associations with ", name, " were lost"), detail,
                   absl::StrCat("Look whether ", name, " differs between batches: then batch and ", name,
                                " cannot be told apart well."));
    } else {
      findings.Add(v1::FINDING_SEVERITY_OK, "covariate_effects_kept",
                   absl::StrCat("Associations with ", name, " are still there"), detail);
    }
  }
  if (report.study().release() == "pooled") {
    findings.Add(v1::FINDING_SEVERITY_INFO, "pooled", "Nothing of single batches is shown",
                 "Under release pooled their sums are known to nobody but the site: there are no sizes, people, scales and "
                 "corrections of batches here.");
  }
  findings.Add(
      v1::FINDING_SEVERITY_INFO, "in_sample", "The figures after are in-sample",
      "They are of the subjects on whom the correction was estimated, whose batch means were fitted out: few features can "
      "show a batch effect then, and that alone proves little. The limits say more.");
}

}  // namespace

void WriteFindings(const ReportInput& input, const combat::Setup& setup, const EvidenceSummary& summary,
                   const FigureReader& reader, v1::Report& report) {
  Findings findings(report);
  OnSites(input, findings);
  OnFeaturesLeftOut(input, report.features(), findings);
  if (report.has_batches()) OnBatches(input, setup, report.batches(), findings);
  const auto status = input.common["status"];
  Index usable = 0;
  for (Index f = 0; f < status.cols(); ++f) usable += combat::IsAdjusted(status(0, f)) ? 1 : 0;
  if (setup.options.prior() != v1::PRIOR_NONE && usable < combat::kFewestFeaturesForPrior) {
    findings.Add(v1::FINDING_SEVERITY_INFO, "no_empirical_bayes", "No empirical Bayes",
                 absl::StrCat("It needs at least ", combat::kFewestFeaturesForPrior, " usable features, and there are ", usable,
                              ": each batch's estimates were used as they are."));
  }
  OnEffect(input, reader, summary, report, findings);
  std::stable_sort(report.mutable_findings()->begin(), report.mutable_findings()->end(),
                   [](const v1::Finding& a, const v1::Finding& b) { return a.severity() < b.severity(); });
}

}  // namespace attune

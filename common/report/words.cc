// SPDX-License-Identifier: Apache-2.0
#include "common/report/words.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/version.h"

namespace attune {
namespace {

bool Pooled(const ReportInput& input) { return input.facts.release == Release::kPooled; }

std::string PriorInWords(const combat::Setup& setup, bool shrunk) {
  if (!shrunk) return "without empirical Bayes";
  return setup.options.prior() == v1::PRIOR_NONPARAMETRIC ? "with non-parametric empirical Bayes"
                                                          : "with parametric empirical Bayes";
}

std::string CovariatesInWords(const ReportInput& input) {
  std::vector<std::string> words;
  for (const Covariate& covariate : input.facts.covariates) {
    if (covariate.categorical()) {
      words.push_back(absl::StrCat(covariate.name, " (", absl::StrJoin(covariate.levels, ", "), "; reference ",
                                   covariate.levels.front(), ")"));
    } else {
      words.push_back(absl::StrCat(covariate.name, covariate.unit.empty() ? "" : absl::StrCat(" (", covariate.unit, ")")));
    }
  }
  return absl::StrJoin(words, ", ");
}

std::string FitOnInWords(const combat::Setup& setup) {
  std::vector<std::string> words;
  // A map of protobuf has no order of its own.
  const std::map<std::string, std::string> sorted(setup.options.fit_on().begin(), setup.options.fit_on().end());
  for (const auto& [column, value] : sorted) words.push_back(absl::StrCat(column, " = ", value));
  return absl::StrJoin(words, " and ");
}

}  // namespace

std::string WithCommas(std::uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string CountOf(std::uint64_t count, std::uint64_t of) { return absl::StrCat(WithCommas(count), " of ", WithCommas(of)); }

std::string Counted(std::uint64_t count, const std::string& one, const std::string& many) {
  return absl::StrCat(WithCommas(count), " ", count == 1 ? one : many);
}

std::vector<std::string> OptionsInWords(const ReportInput& input, const combat::Setup& setup, bool shrunk) {
  std::vector<std::string> options;
  options.push_back(absl::StrCat("ComBat, ", PriorInWords(setup, shrunk)));
  options.push_back(setup.options.mean_only() ? "mean_only: locations are corrected, scales stay as they are"
                                              : "locations and scales are corrected");
  options.push_back(input.facts.covariates.empty()
                        ? "no covariates"
                        : absl::StrCat("covariates whose effects are kept: ", CovariatesInWords(input)));
  if (!setup.reference.empty()) {
    options.push_back(absl::StrCat("reference batch ", setup.reference, ": the others are moved to it, its values stay"));
  }
  options.push_back(
      absl::StrCat("min_batch_size ", input.facts.min_batch_size, ": smaller batches are ",
                   setup.options.small_batches() == v1::SMALL_BATCHES_MEAN_ONLY ? "corrected in location only" : "refused"));
  options.push_back(setup.missing ? "missing values of features are allowed: every sum is over the subjects present"
                                  : "missing values of features are refused");
  if (input.config.missing_covariates() == v1::MISSING_COVARIATES_EXCLUDE) {
    options.push_back("subjects with a missing covariate are neither estimated on nor harmonized");
  }
  if (!setup.options.fit_on().empty()) {
    options.push_back(absl::StrCat("estimated on subjects with ", FitOnInWords(setup), ", applied to all"));
  }
  options.push_back(!Pooled(input) ? "release per_batch: the coordinator reads the sums of each batch"
                    : input.masked ? "release pooled: the coordinator reads only sums over all sites, under secure aggregation"
                                   : "release pooled in a simulation: sums over all sites, not masked");
  return options;
}

void WriteMethods(const ReportInput& input, const combat::Setup& setup, bool shrunk, v1::Report& report) {
  const v1::ReportStudy& study = report.study();
  std::string& text = *report.mutable_methods();
  absl::StrAppend(&text, WithCommas(study.features()), study.voxels() ? " voxels" : " features", " of ",
                  WithCommas(study.subjects()), " subjects in ", study.batches(), " batches (scanners or protocols) of ",
                  study.sites(), " sites were harmonized with ComBat [1,2], as implemented in Attune ", kVersion, " (method ",
                  study.method(), "), without moving individual data: each site computed sums over its own subjects (counts, ",
                  "means, and centred sums of squares and products of features and covariates), ");
  if (!Pooled(input)) {
    absl::StrAppend(&text, "and a coordinator read the sums of each batch. ");
  } else if (input.masked) {
    absl::StrAppend(&text, "which were added up over all sites under secure aggregation. ");
  } else {
    absl::StrAppend(&text, "which were added up over all sites. ");
  }
  absl::StrAppend(&text, "The result equals ComBat on the pooled data. ");
  absl::StrAppend(&text, "For each feature, ", setup.options.mean_only() ? "the location" : "location and scale",
                  " of each batch ", setup.options.mean_only() ? "was" : "were", " estimated ", PriorInWords(setup, shrunk));
  if (input.facts.covariates.empty()) {
    absl::StrAppend(&text, "; no covariates were modelled. ");
  } else {
    absl::StrAppend(&text, "; the effects of ", CovariatesInWords(input), " were modelled as common to all batches and kept. ");
  }
  if (!setup.options.fit_on().empty()) {
    absl::StrAppend(&text, "The model was estimated on subjects with ", FitOnInWords(setup), " and applied to all. ");
  }
  if (!setup.reference.empty()) {
    absl::StrAppend(&text, "Batch ", setup.reference, " was the reference, to which the others were moved. ");
  }
  if (setup.options.small_batches() == v1::SMALL_BATCHES_MEAN_ONLY) {
    absl::StrAppend(&text, "Batches with fewer than ", input.facts.min_batch_size,
                    " subjects were corrected in location only. ");
  }
  if (setup.missing) absl::StrAppend(&text, "Missing values were left missing; every sum was over the subjects present. ");
  const std::uint64_t set_aside = report.features().total() - report.features().tested();
  if (set_aside > 0) {
    absl::StrAppend(&text, Counted(set_aside, "feature was", "features were"), " left unadjusted or could not be tested. ");
  }
  absl::StrAppend(&text, "Batch effects were tested feature by feature by analysis of covariance (F test of batch",
                  input.facts.covariates.empty() ? "" : " given the covariates",
                  "), with the false discovery rate controlled at 0.05 [3]: ",
                  CountOf(report.features().before().with_batch_effect(), report.features().tested()),
                  " features showed a batch effect before and ", WithCommas(report.features().after().with_batch_effect()),
                  " after harmonization. The figures after are in-sample: they are of the subjects on whom the correction was "
                  "estimated, and so optimistic.");
  report.add_references(
      "Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using empirical "
      "Bayes methods. Biostatistics 8:118-127 (2007).");
  report.add_references(
      "Fortin J-P, et al. Harmonization of cortical thickness measurements across scanners and sites. "
      "NeuroImage 167:104-120 (2018).");
  report.add_references(
      "Benjamini Y, Hochberg Y. Controlling the false discovery rate: a practical and powerful approach to "
      "multiple testing. J R Stat Soc B 57:289-300 (1995).");
}

std::vector<std::string> LimitsOf(const ReportInput& input) {
  std::vector<std::string> limits = {
      "Figures after are in-sample, and so optimistic: they are of the same subjects on whom the correction was estimated. The "
      "means of batches were fitted out of these very data, so that hardly any feature can show a batch effect, whether or not "
      "the correction would hold for other people of the same scanners. This report has no held-out figures.",
      "The F test sees differences between means. The scale ratio sees differences of spread. Differences of shape, and of how "
      "features vary together, are not looked at.",
      "The effects of covariates are taken to be straight lines, the same in all batches; whether slopes differ between "
      "batches "
      "is not tested here. A trait that the model does not know, and that differs between the people of two sites, is removed "
      "with the batch effect.",
      "p-values take residuals to be normal and of equal spread; before harmonization spreads differ, which is what is to be "
      "corrected. Features are tested one by one; the false discovery rate holds for tests that are independent or positively "
      "dependent.",
      "What the sites wrote is not looked at: the state after the correction is computed from the sums before it and from the "
      "correction.",
  };
  if (input.facts.release == Release::kPooled) {
    limits.push_back(
        "release pooled: sums of single batches are known to nobody but their site, so that sizes, people, means, scales and "
        "corrections of single batches are not in this report.");
  } else {
    limits.push_back(
        "This page shows sums of single batches (sizes, means, spreads), which the sites released to the coordinator. "
        "Ask the sites before it is published.");
  }
  return limits;
}

}  // namespace attune

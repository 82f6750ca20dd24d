// SPDX-License-Identifier: Apache-2.0
#include "common/report/report.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/evidence/site_effect.h"
#include "common/evidence/summary.h"
#include "common/methods/combat/batch_fit.h"
#include "common/methods/combat/form.h"
#include "common/methods/combat/pooled_model.h"
#include "common/numeric/median.h"
#include "common/report/batches.h"
#include "common/report/columns.h"
#include "common/report/figures.h"
#include "common/report/findings.h"
#include "common/report/page.h"
#include "common/report/selection.h"
#include "common/report/words.h"

namespace attune {
namespace {

using Eigen::Index;

// Of those listed, and of those in detail, that are there for the size of their effect.
constexpr Index kMostAffected = 1000;
// A float32 in base64.
constexpr double kNumberBytes = 16.0 / 3;
// The part of the room that the list may take; the rest is for details.
constexpr double kListPart = 0.88;

absl::Status CheckInput(const ReportInput& input, const combat::Setup& setup) {
  if (const Form form = combat::PooledModelForm(setup); input.common.form() != form) {
    return absl::InvalidArgumentError(
        absl::StrCat("the correction is not that of this study: ", DescribeDifference(form, input.common.form())));
  }
  const std::size_t batches = input.facts.release == Release::kPerBatch ? input.facts.batches.size() : 0;
  if (input.answers.size() != batches || input.corrections.size() != batches) {
    return absl::InvalidArgumentError(absl::StrCat("there are answers of ", input.answers.size(), " and corrections of ",
                                                   input.corrections.size(), " batches, expected ", batches));
  }
  const Form form = combat::RoundOneForm(input.facts, setup);
  for (const auto& [batch, answer] : input.answers) {
    if (answer.form() != form) {
      return absl::InvalidArgumentError(
          absl::StrCat("the answer of batch '", batch, "': ", DescribeDifference(form, answer.form())));
    }
    const auto correction = input.corrections.find(batch);
    if (correction == input.corrections.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no correction of batch '", batch, "'"));
    }
    for (const char* name : {"gamma_hat", "gamma", "delta2_hat", "delta2"}) {
      if (correction->second.Has(name) && correction->second[name].rows() == 1 &&
          correction->second[name].cols() == setup.features) {
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat("the correction of batch '", batch, "' has no block '", name, "' of 1 x ", setup.features));
    }
  }
  return absl::OkStatus();
}

v1::ReportStudy StudyOf(const ReportInput& input, std::int64_t subjects) {
  v1::ReportStudy study;
  study.set_name(input.config.study());
  study.set_method("combat/1");
  study.set_release(input.facts.release == Release::kPooled ? "pooled" : "per_batch");
  for (const Covariate& covariate : input.facts.covariates) {
    v1::ReportCovariate& out = *study.add_covariates();
    out.set_name(covariate.name);
    out.set_unit(covariate.unit);
    for (const std::string& level : covariate.levels) out.add_levels(level);
  }
  study.set_subjects(static_cast<std::uint64_t>(subjects));
  study.set_sites(input.sites);
  study.set_batches(input.facts.batches.size());
  study.set_features(input.facts.features.size());
  study.set_voxels(input.facts.features.voxels());
  for (const std::string& note : input.notes) study.add_notes(note);
  return study;
}

// Features that have figures, those shown, and those shown in detail (as positions in the list).
struct Shown {
  Selection listed;
  Selection detailed;
};

absl::StatusOr<Shown> ChooseFeatures(const ReportInput& input, const FigureReader& reader, double room) {
  const auto total = static_cast<Index>(input.facts.features.size());
  std::vector<double> effect(static_cast<std::size_t>(total));
  for (Index f = 0; f < total; ++f) effect[static_cast<std::size_t>(f)] = reader.F(kPhases[0], f);

  // Two figures, before and after; a number where not all are listed; a name and what separates it from the next.
  const bool voxels = input.facts.features.voxels();
  const auto name_bytes = [&](Index f) {
    return voxels ? 0.0 : static_cast<double>(JsonStringBytes(input.facts.features[static_cast<std::size_t>(f)])) + 1;
  };
  const auto bytes_of = [&](const Selection& selection) {
    double bytes = 0;
    for (const Index f : selection.features) bytes += name_bytes(f);
    return bytes + static_cast<double>(selection.size()) * kNumberBytes * (selection.size() < total ? 5 : 4);
  };
  Shown shown;
  Index most = std::min(total, kMostListed);
  for (;;) {
    shown.listed = Select(effect, most, kMostAffected);
    const double bytes = bytes_of(shown.listed);
    if (bytes <= kListPart * room) break;
    // Names differ in length: less than what would fit of the average ones, until they do.
    const auto fits = static_cast<Index>(0.98 * static_cast<double>(most) * kListPart * room / bytes);
    if (fits < 1) {
      return absl::ResourceExhaustedError(absl::StrCat("a report of ", static_cast<std::uint64_t>(room),
                                                       " bytes has no room for the name of a single feature"));
    }
    most = std::min(fits, most - 1);
  }
  const double batch_columns = 6.0 * static_cast<double>(input.answers.size());
  const double phase_columns =
      2.0 * (2 + (reader.has_scale_ratios() ? 1 : 0) + static_cast<double>(input.facts.covariates.size()));
  const double each = kNumberBytes * (1 + batch_columns + phase_columns);
  const auto fits = static_cast<Index>((room - bytes_of(shown.listed)) / each);
  std::vector<double> listed_effect;
  for (const Index f : shown.listed.features) listed_effect.push_back(effect[static_cast<std::size_t>(f)]);
  shown.detailed = Select(listed_effect, std::max<Index>(fits, 1), kMostAffected, shown.listed.added);
  return shown;
}

v1::FeatureFigures FeaturesOf(const ReportInput& input, const FigureReader& reader, const EvidenceSummary& summary,
                              const Shown& shown) {
  const auto total = static_cast<Index>(input.facts.features.size());
  v1::FeatureFigures out;
  out.set_total(static_cast<std::uint64_t>(total));
  out.set_tested(static_cast<std::uint64_t>(summary.before.tested));
  out.set_listed(static_cast<std::uint64_t>(shown.listed.size()));
  out.set_most_affected(static_cast<std::uint64_t>(shown.listed.added));
  for (const Index f : shown.listed.features) {
    if (!input.facts.features.voxels()) out.add_names(input.facts.features[static_cast<std::size_t>(f)]);
    if (shown.listed.size() < total) AppendUint32(static_cast<std::uint32_t>(f), out.mutable_numbers());
  }
  if (shown.detailed.size() < shown.listed.size()) {
    for (const Index position : shown.detailed.features)
      AppendUint32(static_cast<std::uint32_t>(position), out.mutable_detailed());
  }
  out.set_detailed_most_affected(static_cast<std::uint64_t>(shown.detailed.added));
  out.set_detailed_count(static_cast<std::uint64_t>(shown.detailed.size()));
  *out.mutable_before() = FiguresOfPhase(reader, kPhases[0], summary.before, shown.listed, shown.detailed);
  *out.mutable_after() = FiguresOfPhase(reader, kPhases[1], summary.after, shown.listed, shown.detailed);
  return out;
}

double MedianCohensF(const FigureReader& reader, const std::string& phase, Index features) {
  std::vector<double> values;
  for (Index f = 0; f < features; ++f) {
    if (reader.tested(f)) values.push_back(reader.CohensF(phase, f));
  }
  return MedianInPlace(values);
}

std::string Fixed(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.4f", value);
  return text;
}

void WriteOutcomes(const ReportInput& input, const FigureReader& reader, const EvidenceSummary& summary, v1::Report& report) {
  const auto tested = static_cast<std::uint64_t>(summary.before.tested);
  const std::string n = absl::StrCat(WithCommas(report.study().subjects()), " subjects, ", WithCommas(tested), " features");
  const auto add = [&](const std::string& label, double before, double after, bool counts, const std::string& test,
                       const std::string& formula) {
    v1::Outcome& row = *report.add_outcomes();
    row.set_label(label);
    row.set_before_value(before);
    row.set_after_value(after);
    row.set_before(counts ? CountOf(static_cast<std::uint64_t>(before), tested) : Fixed(before));
    row.set_after(counts ? CountOf(static_cast<std::uint64_t>(after), tested) : Fixed(after));
    row.set_n(n);
    row.set_test(test);
    row.set_formula(formula);
  };
  const std::string given = input.facts.covariates.empty() ? "" : " given the covariates";
  add("Features with a batch effect", static_cast<double>(summary.before.with_batch_effect),
      static_cast<double>(summary.after.with_batch_effect), true,
      absl::StrCat("Analysis of covariance, F of batch", given, "; Benjamini-Hochberg at a false discovery rate of 0.05"),
      "F = ((RSS(x) - RSS(x, batch)) / (S - 1)) / (RSS(x, batch) / (N - S - p)): RSS is what covariates x, without and with "
      "batch, "
      "leave unexplained; N subjects, S batches, p columns of covariates.");
  add("Partial eta squared of batch, median", summary.before.median_partial_eta_squared,
      summary.after.median_partial_eta_squared, false, "None: an effect size",
      "(RSS(x) - RSS(x, batch)) / RSS(x), median over tested features.");
  const auto features = static_cast<Index>(input.facts.features.size());
  add("Cohen's f of batch, median", MedianCohensF(reader, kPhases[0], features), MedianCohensF(reader, kPhases[1], features),
      false, "None: an effect size; 0.1 is small, 0.25 medium, 0.4 large",
      "Square root of eta^2 / (1 - eta^2), eta^2 the partial one; median over tested features.");
  add("Features with a large batch effect (f of 0.4 or more)",
      static_cast<double>(report.features().before().cohens_f_at_least(2)),
      static_cast<double>(report.features().after().cohens_f_at_least(2)), true, "None: an effect size",
      "Cohen's f, as above.");
  if (summary.before.median_scale_ratio.has_value()) {
    add("Scale ratio of batches, median", *summary.before.median_scale_ratio, *summary.after.median_scale_ratio, false,
        "None: a description; 1 is no difference",
        "exp of the median over features of the median over batches of |ln(s_b / s)|: s_b and s are residual standard "
        "deviations of the "
        "batch and pooled, about the covariates and each batch's own mean.");
  }
  for (std::size_t c = 0; c < input.facts.covariates.size(); ++c) {
    add(absl::StrCat("Features associated with ", input.facts.covariates[c].name),
        static_cast<double>(summary.before.covariate_features[c]), static_cast<double>(summary.after.covariate_features[c]),
        true, "Analysis of covariance, F of the covariate given batch and the other covariates; Benjamini-Hochberg at 0.05",
        "F = ((RSS without the covariate - RSS) / q) / (RSS / (N - S - p)), q its columns; about each batch's own mean.");
  }
}

}  // namespace

absl::StatusOr<v1::Report> MakeReport(const ReportInput& input, std::size_t bytes) {
  if (!input.config.method().has_combat()) {
    return absl::FailedPreconditionError("this version makes reports of studies with the method combat/1 only");
  }
  ATTUNE_ASSIGN_OR_RETURN(const combat::Setup setup, combat::SetupOf(input.facts));
  ATTUNE_RETURN_IF_ERROR(CheckInput(input, setup));
  ATTUNE_ASSIGN_OR_RETURN(const EvidenceSummary summary, Summarize(input.evidence, input.facts));
  const FigureReader reader(input.evidence, input.facts);

  v1::Report report;
  report.set_format(1);
  report.set_edition("consortium");
  v1::ReportProvenance& provenance = *report.mutable_provenance();
  provenance.set_software_version(kVersion);
  provenance.set_consortium(input.consortium);
  provenance.set_state(input.state);
  provenance.set_manifest_sha256(input.manifest_sha256);
  provenance.set_correction_sha256(input.correction_sha256);
  provenance.set_evidence_sha256(input.evidence_sha256);
  *report.mutable_study() = StudyOf(input, summary.subjects);
  for (const std::string& limit : LimitsOf(input)) report.add_limits(limit);

  // What is left of the room once all but features is written, and some for what follows from them.
  constexpr std::size_t kRest = 64 << 10;
  const std::size_t taken = ReportJson(report).size() + kRest + 1024 * input.facts.batches.size();
  ATTUNE_ASSIGN_OR_RETURN(const Shown shown,
                          ChooseFeatures(input, reader, bytes > taken ? static_cast<double>(bytes - taken) : 0));
  *report.mutable_features() = FeaturesOf(input, reader, summary, shown);
  bool shrunk = setup.options.prior() != v1::PRIOR_NONE;
  if (input.facts.release == Release::kPerBatch) {
    std::vector<Index> detailed;
    for (const Index position : shown.detailed.features) {
      detailed.push_back(shown.listed.features[static_cast<std::size_t>(position)]);
    }
    *report.mutable_batches() = FiguresOfBatches(input, setup, detailed);
    shrunk = report.batches().empirical_bayes();
  } else {
    Index usable = 0;
    for (Index f = 0; f < setup.features; ++f) usable += combat::IsAdjusted(input.common["status"](0, f)) ? 1 : 0;
    shrunk = shrunk && usable >= combat::kFewestFeaturesForPrior;
  }
  for (const std::string& option : OptionsInWords(input, setup, shrunk)) report.mutable_study()->add_options(option);
  WriteOutcomes(input, reader, summary, report);
  WriteFindings(input, setup, summary, reader, report);
  WriteMethods(input, setup, shrunk, report);
  return report;
}

}  // namespace attune

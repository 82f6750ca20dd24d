// SPDX-License-Identifier: Apache-2.0
//
// The report's numbers are those of the rows; it holds none of the rows.
#include "common/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/text.h"
#include "common/evidence/site_effect.h"
#include "common/methods/combat/form.h"
#include "common/report/batches.h"
#include "common/report/figures.h"
#include "common/report/page.h"
#include "tests/common/methods/combat_study.h"
#include "tests/common/report/report_study.h"
#include "tests/support/naive_combat.h"

namespace attune::testing {
namespace {

constexpr double kTolerance = 1e-10;

void ExpectNear(double actual, double expected) {
  EXPECT_NEAR(actual, expected, kTolerance * std::max(1.0, std::abs(expected)));
}

double NaiveNegLog10(double f, double numerator, double denominator) {
  return -std::log10(boost::math::cdf(boost::math::complement(boost::math::fisher_f(numerator, denominator), f)));
}

// Every per-feature figure against dense least squares on the rows.
void ExpectFiguresOfRows(const SyntheticStudy& study) {
  const ReportInput input = InputOf(study);
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
  ASSERT_OK_AND_ASSIGN(const Values after, ApplyRows(CombatMethod(), result, study.rows));
  Values before;
  for (const Row& row : study.rows) before.push_back(row.values);
  const FigureReader reader(input.evidence, input.facts);
  const auto p = static_cast<double>(DesignColumns(study.facts.covariates).size());
  const auto batches = static_cast<double>(study.facts.batches.size());
  const std::size_t features = study.facts.features.size();
  ASSERT_EQ(report.features().listed(), features);
  ASSERT_EQ(report.features().detailed_count(), features);
  for (const std::string phase : kPhases) {
    const bool first = phase == kPhases[0];
    const v1::PhaseFigures& out = first ? report.features().before() : report.features().after();
    for (std::size_t f = 0; f < features; ++f) {
      SCOPED_TRACE(absl::StrCat(phase, "feature ", f));
      const auto column = static_cast<Eigen::Index>(f);
      if (!reader.tested(column)) {
        EXPECT_TRUE(std::isnan(Floats(out.neg_log10_p())[f]));
        continue;
      }
      const NaiveFigures naive = FiguresOfFeature(study.rows, first ? before : after, f, study.facts.covariates);
      const double freedom = static_cast<double>(naive.count) - batches - p;
      const double neg_log10_p = NaiveNegLog10(naive.f, batches - 1, freedom);
      const double cohens_f = std::sqrt(naive.partial_eta_squared / (1 - naive.partial_eta_squared));
      ExpectNear(reader.F(phase, column), naive.f);
      ExpectNear(reader.NegLog10P(phase, column), neg_log10_p);
      ExpectNear(reader.PartialEtaSquared(phase, column), naive.partial_eta_squared);
      EXPECT_NEAR(reader.CohensF(phase, column), cohens_f, 1e-7);  // the root of a difference near 0
      EXPECT_EQ(Floats(out.f())[f], static_cast<float>(reader.F(phase, column)));
      EXPECT_EQ(Floats(out.neg_log10_p())[f], static_cast<float>(reader.NegLog10P(phase, column)));
      EXPECT_EQ(Floats(out.cohens_f())[f], static_cast<float>(reader.CohensF(phase, column)));
      EXPECT_EQ(Floats(out.partial_eta_squared())[f], static_cast<float>(reader.PartialEtaSquared(phase, column)));
      if (study.facts.release == Release::kPerBatch) {
        ExpectNear(reader.LogScaleRatio(phase, column), naive.log_scale_ratio);
        EXPECT_EQ(Floats(out.log_scale_ratio())[f], static_cast<float>(reader.LogScaleRatio(phase, column)));
      } else {
        EXPECT_TRUE(out.log_scale_ratio().empty());
      }
      for (std::size_t c = 0; c < naive.covariate_f.size(); ++c) {
        const double columns =
            study.facts.covariates[c].categorical() ? static_cast<double>(study.facts.covariates[c].levels.size()) - 1 : 1;
        ExpectNear(reader.CovariateNegLog10P(phase, c, column), NaiveNegLog10(naive.covariate_f[c], columns, freedom));
        EXPECT_EQ(Floats(out.covariates(static_cast<int>(c)).neg_log10_p())[f],
                  static_cast<float>(reader.CovariateNegLog10P(phase, c, column)));
      }
    }
  }
}

TEST(Report, FiguresAreThoseOfTheRows) {
  SyntheticStudy study = MakeSynthetic({.seed = 21});
  for (const Release release : kReleases) {
    study.facts.release = release;
    ExpectFiguresOfRows(study);
  }
}

TEST(Report, FiguresAreThoseOfTheRows_MissingValuesAndFeaturesSetAside) {
  SyntheticStudy study = MakeSynthetic({.seed = 22, .missing_rate = 0.05});
  for (Row& row : study.rows) row.values[3] = row.batch == "site10/scanner0" ? 4 : row.values[3];
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
  for (const Release release : kReleases) {
    study.facts.release = release;
    ExpectFiguresOfRows(study);
  }
}

// A feature's mean over the rows of a batch ("" for all), with the rows that have it.
double MeanOf(const SyntheticStudy& study, const Values& values, const BatchId& batch, std::size_t f) {
  double sum = 0;
  double n = 0;
  for (std::size_t i = 0; i < study.rows.size(); ++i) {
    if ((!batch.empty() && study.rows[i].batch != batch) || std::isnan(values[i][f])) continue;
    sum += values[i][f];
    ++n;
  }
  return sum / n;
}

TEST(Report, BatchesAreThoseOfTheRows) {
  for (const double missing : {0.0, 0.05}) {
    SyntheticStudy study = MakeSynthetic({.seed = 23, .subjects_per_batch = 40, .missing_rate = missing});
    study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) {
      o.set_reference_batch("site11/scanner1");
      if (missing > 0) o.set_missing(v1::MISSING_VALUES_ALLOW);
    });
    const ReportInput input = InputOf(study);
    ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
    ASSERT_OK_AND_ASSIGN(const combat::Setup setup, combat::SetupOf(study.facts));
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const Values after, ApplyRows(CombatMethod(), result, study.rows));
    Values before;
    for (const Row& row : study.rows) before.push_back(row.values);
    ASSERT_EQ(report.batches().batches_size(), static_cast<int>(study.facts.batches.size()));
    for (int b = 0; b < report.batches().batches_size(); ++b) {
      const BatchId& batch = study.facts.batches[static_cast<std::size_t>(b)];
      SCOPED_TRACE(batch);
      const v1::ReportBatch& out = report.batches().batches(b);
      const Blocks& model = result.models.at(batch).parameters;
      EXPECT_EQ(MakeBatchId(out.site(), out.label()), batch);
      EXPECT_EQ(out.reference(), batch == "site11/scanner1");
      // The prior is the one of the fit.
      ASSERT_EQ(out.has_prior(), !out.reference());
      if (out.has_prior()) {
        EXPECT_EQ(out.prior().gamma_bar(), model["prior"](0, 0));
        EXPECT_EQ(out.prior().tau2(), model["prior"](1, 0));
        EXPECT_EQ(out.prior().a(), model["prior"](2, 0));
        EXPECT_EQ(out.prior().b(), model["prior"](3, 0));
      }
      double n = 0;
      double age = 0;
      double women = 0;
      for (const Row& row : study.rows) {
        if (row.batch != batch) continue;
        ++n;
        age += row.covariates[0];
        women += row.covariates[1] == 0 ? 1 : 0;
      }
      double squares = 0;
      for (const Row& row : study.rows) {
        if (row.batch == batch) squares += (row.covariates[0] - age / n) * (row.covariates[0] - age / n);
      }
      EXPECT_EQ(static_cast<double>(out.subjects()), n);
      if (missing == 0) {
        ExpectNear(out.covariates(0).mean(), age / n);
        ExpectNear(out.covariates(0).sd(), std::sqrt(squares / (n - 1)));
        ASSERT_EQ(out.covariates(1).shares_size(), 2);
        ExpectNear(out.covariates(1).shares(0), women / n);
        ExpectNear(out.covariates(1).shares(1), 1 - women / n);
      }
      for (std::size_t f = 0; f < study.facts.features.size(); ++f) {
        const auto column = static_cast<Eigen::Index>(f);
        const double sigma = model["sigma"](0, column);
        const BatchFeature values = BatchesOfFeature(input, setup, column)[static_cast<std::size_t>(b)];
        EXPECT_EQ(values.gamma_hat, model["gamma_hat"](0, column));
        EXPECT_EQ(values.delta2, model["delta2"](0, column));
        ExpectNear(values.mean_before, (MeanOf(study, before, batch, f) - MeanOf(study, before, "", f)) / sigma);
        ExpectNear(values.mean_after, (MeanOf(study, after, batch, f) - MeanOf(study, after, "", f)) / sigma);
        EXPECT_EQ(Floats(out.mean_after())[f], static_cast<float>(values.mean_after));
        EXPECT_EQ(Floats(out.gamma())[f], static_cast<float>(values.gamma));
        EXPECT_EQ(Floats(out.delta2_hat())[f], static_cast<float>(values.delta2_hat));
      }
    }
  }
}

TEST(Report, SharesOfFewPeopleAreNotShown) {
  SyntheticStudy study = MakeSynthetic({.seed = 24, .subjects_per_batch = 40});
  int women = 0;  // four of them in the first batch, and nobody of the third diagnosis
  for (Row& row : study.rows) {
    if (row.batch != study.facts.batches[0]) continue;
    row.covariates[1] = ++women <= 4 ? 0 : 1;
    row.covariates[2] = women % 2;
    row.covariates[3] = 0;
  }
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(InputOf(study)));
  const v1::ReportBatch& first = report.batches().batches(0);
  EXPECT_EQ(first.covariates(1).shares_size(), 0);
  ASSERT_EQ(first.covariates(2).shares_size(), 3);
  EXPECT_EQ(first.covariates(2).shares(2), 0);
  EXPECT_EQ(report.batches().batches(1).covariates(1).shares_size(), 2);
}

TEST(Report, PooledHasNothingOfSingleBatches) {
  SyntheticStudy study = MakeSynthetic({.seed = 25});
  study.facts.release = Release::kPooled;
  ReportInput input = InputOf(study);
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  EXPECT_FALSE(report.has_batches());
  EXPECT_TRUE(report.features().before().log_scale_ratio().empty());
  EXPECT_THAT(report.methods(), ::testing::HasSubstr("under secure aggregation"));
  const std::string json = ReportJson(report);
  for (const BatchId& batch : study.facts.batches) EXPECT_THAT(json, ::testing::Not(::testing::HasSubstr(batch)));
  input.masked = false;
  ASSERT_OK_AND_ASSIGN(const v1::Report plain, MakeReport(input));
  EXPECT_THAT(plain.methods(), ::testing::Not(::testing::HasSubstr("secure aggregation")));
}

TEST(Report, HoldsNoIdAndNoRow) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 26});
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(InputOf(study)));
    const std::string json = ReportJson(report);
    const std::string bytes = report.SerializeAsString();
    for (const Row& row : study.rows) {
      EXPECT_FALSE(absl::StrContains(json, row.id));
      for (const double value : row.values) {
        EXPECT_FALSE(absl::StrContains(json, FormatDouble(value)));
        // Neither as the float of a column.
        std::string column;
        for (int shift = 0; shift < 32; shift += 8) {
          column.push_back(static_cast<char>((std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> shift) & 0xFF));
        }
        EXPECT_FALSE(absl::StrContains(bytes, column));
      }
      // Ages, which are no column's: their mean is.
      EXPECT_FALSE(absl::StrContains(json, FormatDouble(row.covariates[0])));
    }
  }
}

TEST(Report, SameRecordSameBytes) {
  SyntheticStudy study = MakeSynthetic({.seed = 27});
  ASSERT_OK_AND_ASSIGN(const v1::Report first, MakeReport(InputOf(study)));
  std::reverse(study.rows.begin(), study.rows.end());
  ASSERT_OK_AND_ASSIGN(const v1::Report again, MakeReport(InputOf(study)));
  EXPECT_EQ(ReportJson(first), ReportJson(again));
}

TEST(Report, RefusesWhatIsOfAnotherStudy) {
  const SyntheticStudy study = MakeSynthetic({.seed = 28});
  const auto broken = [&](const std::function<void(ReportInput&)>& change) {
    ReportInput input = InputOf(study);
    change(input);
    return MakeReport(input).status();
  };
  const SyntheticStudy other = MakeSynthetic({.seed = 28, .features = 11});
  EXPECT_EQ(broken([&](ReportInput& i) { i.evidence = InputOf(other).evidence; }).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(broken([&](ReportInput& i) { i.common = InputOf(other).common; }).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(broken([&](ReportInput& i) { i.answers = InputOf(other).answers; }).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(broken([&](ReportInput& i) { i.corrections = InputOf(other).corrections; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(broken([&](ReportInput& i) { i.answers.erase(i.answers.begin()); }).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(broken([&](ReportInput& i) { i.config.clear_method(); }).code(), absl::StatusCode::kFailedPrecondition);
}

// A study of many features, whose figures are made up: only their number counts here.
ReportInput ManyFeatures(std::size_t features, int batches, const std::function<std::string(std::size_t)>& name) {
  SyntheticStudy study =
      MakeSynthetic({.seed = 29, .batches_per_site = std::vector<int>(static_cast<std::size_t>(batches), 1)});
  ReportInput input = InputOf(study);
  Dice dice(30);
  std::vector<std::string> names;
  for (std::size_t f = 0; f < features; ++f) names.push_back(name(f));
  input.facts.features = name(0).empty() ? FeatureNames::Voxels(features) : FeatureNames(std::move(names));
  const auto widen = [&](Blocks& blocks) {
    Form form = blocks.form();
    for (BlockSpec& spec : form) spec.cols = spec.cols == 12 ? static_cast<Eigen::Index>(features) : spec.cols;
    Blocks wide = Blocks::Zero(form);
    for (const BlockSpec& spec : form) {
      auto to = wide.Mutable(spec.name);
      const auto from = blocks[spec.name];
      for (Eigen::Index f = 0; f < to.cols(); ++f) {
        to.col(f) = from.col(f % from.cols());
        // Digits that do not compress, and no two alike.
        if (spec.kind == BlockKind::kSum && to.cols() > 1) to.col(f) *= 0.9 + 0.1 * dice.Uniform();
      }
    }
    blocks = std::move(wide);
  };
  widen(input.common);
  widen(input.evidence);
  for (auto& [batch, answer] : input.answers) widen(answer);
  for (auto& [batch, correction] : input.corrections) widen(correction);
  return input;
}

TEST(Report, AHundredThousandFeaturesAreLessThanFiveMegabytes) {
  const ReportInput input = ManyFeatures(100000, 20, [](std::size_t f) { return absl::StrCat("vertex", f); });
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  EXPECT_EQ(report.features().listed(), 100000u);
  EXPECT_GT(report.features().detailed_count(), 200u);
  EXPECT_LT(report.features().detailed_count(), 100000u);
  const std::string json = ReportJson(report);
  EXPECT_LT(json.size(), kReportBytes);
  EXPECT_GT(json.size(), kReportBytes * 8 / 10);  // the room is used
  // Details are of features that are listed, with the most affected among them.
  const std::vector<std::uint32_t> detailed = Words(report.features().detailed());
  ASSERT_EQ(detailed.size(), report.features().detailed_count());
  EXPECT_EQ(Floats(report.features().before().f()).size(), detailed.size());
  EXPECT_EQ(Floats(report.batches().batches(3).gamma()).size(), detailed.size());
  for (const std::uint32_t position : detailed) ASSERT_LT(position, report.features().listed());
  const std::vector<float> shown = Floats(report.features().before().f());
  EXPECT_EQ(*std::max_element(shown.begin(), shown.end()), static_cast<float>(input.evidence["before.f"].maxCoeff()));
}

TEST(Report, OfMoreFeaturesSomeAreListedAndTotalsAreExact) {
  const std::size_t features = 150000;
  const ReportInput input = ManyFeatures(features, 3, [](std::size_t) { return ""; });
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  EXPECT_LT(ReportJson(report).size(), kReportBytes);
  EXPECT_EQ(report.features().total(), features);
  EXPECT_EQ(report.features().listed(), 100000u);
  EXPECT_EQ(report.features().most_affected(), 1000u);
  EXPECT_EQ(report.features().names_size(), 0);
  EXPECT_TRUE(report.study().voxels());
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(input.evidence, input.facts));
  EXPECT_EQ(report.features().tested(), static_cast<std::uint64_t>(summary.before.tested));
  EXPECT_EQ(report.features().before().with_batch_effect(), static_cast<std::uint64_t>(summary.before.with_batch_effect));
  // No feature twice; the first is the most affected that the even sample lacks, and p-values are ranked over all.
  std::vector<std::uint32_t> numbers = Words(report.features().numbers());
  const auto rank = Floats(report.features().before().rank());
  EXPECT_EQ(rank.front(), 1);
  EXPECT_EQ(rank.back(), static_cast<float>(summary.before.tested));
  const auto ranked = Floats(report.features().before().ranked_neg_log10_p());
  EXPECT_TRUE(std::is_sorted(ranked.rbegin(), ranked.rend()));
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(std::adjacent_find(numbers.begin(), numbers.end()), numbers.end());
}

TEST(Report, LongNamesTakeRoomFromTheList) {
  const ReportInput input = ManyFeatures(5000, 3, [](std::size_t f) { return absl::StrCat(std::string(2000, '<'), f); });
  ASSERT_OK_AND_ASSIGN(const v1::Report report, MakeReport(input));
  EXPECT_LT(ReportJson(report).size(), kReportBytes);
  EXPECT_GT(report.features().listed(), 100u);
  EXPECT_LT(report.features().listed(), 5000u);
}

}  // namespace
}  // namespace attune::testing

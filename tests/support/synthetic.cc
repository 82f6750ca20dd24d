// SPDX-License-Identifier: Apache-2.0
#include "tests/support/synthetic.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace attune::testing {

double Dice::Uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

double Dice::Normal() {
  // Box & Muller; 1 - u is never 0.
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
  return radius * std::cos(2 * 3.14159265358979323846 * Uniform());
}

std::size_t Dice::Below(std::size_t count) { return static_cast<std::size_t>(engine_() % count); }

SyntheticStudy MakeSynthetic(const SyntheticOptions& options) {
  static const std::vector<Covariate>& known = *new std::vector<Covariate>{
      {"age", "years", {}}, {"sex", "", {"F", "M"}}, {"dx", "", {"control", "patient", "relative"}}};
  SyntheticStudy study;
  study.facts.covariates.assign(known.begin(), known.begin() + options.covariates);
  std::vector<std::string> names;
  for (int f = 0; f < options.features; ++f) names.push_back(absl::StrCat("feature", f));
  study.facts.features = std::move(names);
  for (std::size_t s = 0; s < options.batches_per_site.size(); ++s) {
    for (int b = 0; b < options.batches_per_site[s]; ++b) {
      // Site names sort as they count.
      study.facts.batches.push_back(MakeBatchId(absl::StrCat("site", 10 + s), absl::StrCat("scanner", b)));
    }
  }
  const std::vector<DesignColumn> columns = DesignColumns(study.facts.covariates);
  const auto p = static_cast<Eigen::Index>(columns.size());
  const auto batches = static_cast<Eigen::Index>(study.facts.batches.size());
  const Eigen::Index features = options.features;

  Dice dice(options.seed);
  Eigen::MatrixXd slope(p, features);
  study.location.resize(batches, features);
  Eigen::MatrixXd scale(batches, features);
  for (Eigen::Index f = 0; f < features; ++f) {
    for (Eigen::Index i = 0; i < p; ++i)
      slope(i, f) = columns[static_cast<std::size_t>(i)].name == "age" ? 0.05 : 0.3 * dice.Normal();
    for (Eigen::Index b = 0; b < batches; ++b) {
      study.location(b, f) = options.location_sd * dice.Normal();
      scale(b, f) = std::exp(options.log_scale_sd * dice.Normal());
    }
  }
  study.age_slope = p > 0 ? Eigen::VectorXd(slope.row(0)) : Eigen::VectorXd::Zero(features);

  for (Eigen::Index b = 0; b < batches; ++b) {
    for (int j = 0; j < options.subjects_per_batch + static_cast<int>(b) % 4; ++j) {
      Row row;
      row.id = absl::StrCat("sub-", 1000 + b, "x", 1000 + j);
      row.batch = study.facts.batches[static_cast<std::size_t>(b)];
      const double age = 30 + 2 * static_cast<double>(b) + 30 * dice.Uniform();
      const std::size_t levels[] = {0, dice.Below(2), dice.Below(3)};
      for (const DesignColumn& column : columns) {
        row.covariates.push_back(column.level == 0 ? age : (levels[column.covariate] == column.level ? 1 : 0));
      }
      for (Eigen::Index f = 0; f < features; ++f) {
        double value = options.base + study.location(b, f) + options.noise_sd * scale(b, f) * dice.Normal();
        for (Eigen::Index i = 0; i < p; ++i) {
          const double x = row.covariates[static_cast<std::size_t>(i)];
          value += slope(i, f) * (columns[static_cast<std::size_t>(i)].level == 0 ? x - 50 : x);
        }
        if (options.missing_rate > 0 && dice.Uniform() < options.missing_rate) value = std::numeric_limits<double>::quiet_NaN();
        row.values.push_back(value);
      }
      study.rows.push_back(std::move(row));
    }
  }
  return study;
}

}  // namespace attune::testing

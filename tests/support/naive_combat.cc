// SPDX-License-Identifier: Apache-2.0
#include "tests/support/naive_combat.h"

#include <Eigen/Core>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace attune::testing {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kFewestFeaturesForPrior = 10;

std::vector<BatchId> BatchesOf(const std::vector<Row>& rows) {
  std::set<BatchId> batches;
  for (const Row& row : rows) batches.insert(row.batch);
  return {batches.begin(), batches.end()};
}

// What least squares says of one feature: the rows used, their batches, coefficients and residuals.
struct Regression {
  std::vector<std::size_t> used;
  std::vector<std::size_t> batch_of_used;
  VectorXd coefficients;  // one per batch (or one intercept), then the covariates kept
  VectorXd residuals;
  bool full_rank = false;
};

// Regresses one feature on batch indicators (or one intercept) and the covariate columns `kept`.
Regression Regress(const std::vector<Row>& rows, const std::vector<std::vector<double>>& values, std::size_t feature,
                   const std::vector<BatchId>& batches, bool with_batches, const std::vector<std::size_t>& kept) {
  Regression out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (!rows[r].fit || std::isnan(values[r][feature])) continue;
    out.used.push_back(r);
    out.batch_of_used.push_back(
        static_cast<std::size_t>(std::find(batches.begin(), batches.end(), rows[r].batch) - batches.begin()));
  }
  const std::size_t intercepts = with_batches ? batches.size() : 1;
  const auto n = static_cast<Index>(out.used.size());
  MatrixXd design = MatrixXd::Zero(n, static_cast<Index>(intercepts + kept.size()));
  VectorXd y(n);
  for (Index i = 0; i < n; ++i) {
    const Row& row = rows[out.used[static_cast<std::size_t>(i)]];
    design(i, with_batches ? static_cast<Index>(out.batch_of_used[static_cast<std::size_t>(i)]) : 0) = 1;
    for (std::size_t c = 0; c < kept.size(); ++c) design(i, static_cast<Index>(intercepts + c)) = row.covariates[kept[c]];
    y[i] = values[out.used[static_cast<std::size_t>(i)]][feature];
  }
  if (n < design.cols()) return out;
  const Eigen::ColPivHouseholderQR<MatrixXd> qr(design);
  out.full_rank = qr.rank() == design.cols();
  out.coefficients = qr.solve(y);
  out.residuals = y - design * out.coefficients;
  return out;
}

std::vector<std::size_t> AllColumns(const std::vector<Row>& rows) {
  std::vector<std::size_t> columns(rows.front().covariates.size());
  for (std::size_t c = 0; c < columns.size(); ++c) columns[c] = c;
  return columns;
}

struct FeatureModel {
  bool adjusted = false;
  double alpha = 0;
  double sigma = 1;
  VectorXd beta;
};

// One batch, one feature.
struct Estimate {
  std::vector<double> z;  // standardized values present
  double gamma = 0;
  double delta2 = 1;
  double gamma_star = 0;
  double delta2_star = 1;
};

double Mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

double Variance(const std::vector<double>& v) {
  const double mean = Mean(v);
  double sum = 0;
  for (const double x : v) sum += (x - mean) * (x - mean);
  return sum / static_cast<double>(v.size() - 1);
}

double SumOfSquaresAbout(const std::vector<double>& v, double centre) {
  double sum = 0;
  for (const double x : v) sum += (x - centre) * (x - centre);
  return sum;
}

void ShrinkParametrically(std::vector<Estimate*>& batch, bool mean_only) {
  std::vector<double> gammas;
  std::vector<double> deltas;
  for (const Estimate* e : batch) {
    gammas.push_back(e->gamma);
    deltas.push_back(e->delta2);
  }
  const double gamma_bar = Mean(gammas);
  const double tau2 = Variance(gammas);
  if (mean_only) {
    for (Estimate* e : batch) e->gamma_star = (tau2 * e->gamma + gamma_bar) / (tau2 + 1);
    return;
  }
  const double m = Mean(deltas);
  const double s2 = Variance(deltas);
  const double a = (2 * s2 + m * m) / s2;
  const double b = (m * s2 + m * m * m) / s2;
  for (Estimate* e : batch) {
    e->gamma_star = e->gamma;
    e->delta2_star = e->delta2;
  }
  for (double change = 1; change > 1e-4;) {
    change = -1e300;
    for (Estimate* e : batch) {
      const auto n = static_cast<double>(e->z.size());
      const double g = (n * tau2 * e->gamma + e->delta2_star * gamma_bar) / (n * tau2 + e->delta2_star);
      const double d = (0.5 * SumOfSquaresAbout(e->z, g) + b) / (n / 2 + a - 1);
      change = std::max(change, std::abs(g - e->gamma_star) / e->gamma_star);
      change = std::max(change, std::abs(d - e->delta2_star) / e->delta2_star);
      e->gamma_star = g;
      e->delta2_star = d;
    }
  }
}

void ShrinkNonparametrically(std::vector<Estimate*>& batch, bool mean_only) {
  for (std::size_t v = 0; v < batch.size(); ++v) {
    // long double reaches far enough down for the batches that tests use.
    long double weights = 0;
    long double gamma = 0;
    long double delta2 = 0;
    for (std::size_t k = 0; k < batch.size(); ++k) {
      if (k == v) continue;
      const long double d = mean_only ? 1 : batch[k]->delta2;
      const long double n = static_cast<long double>(batch[v]->z.size());
      const long double likelihood = std::pow(1 / (2 * 3.141592653589793238462643383L * d), n / 2) *
                                     std::exp(-SumOfSquaresAbout(batch[v]->z, batch[k]->gamma) / (2 * d));
      weights += likelihood;
      gamma += likelihood * batch[k]->gamma;
      delta2 += likelihood * d;
    }
    batch[v]->gamma_star = static_cast<double>(gamma / weights);
    if (!mean_only) batch[v]->delta2_star = static_cast<double>(delta2 / weights);
  }
}

FeatureModel FitFeature(const std::vector<Row>& rows, const std::vector<std::vector<double>>& values, std::size_t feature,
                        const std::vector<BatchId>& batches, const std::map<BatchId, int>& size, const NaiveOptions& options) {
  FeatureModel model;
  for (const BatchId& batch : batches) {
    std::set<double> different;
    for (const Row& row : rows) {
      if (row.fit && row.batch == batch && !std::isnan(row.values[feature])) different.insert(row.values[feature]);
    }
    if (different.empty() || (different.size() == 1 && size.at(batch) >= options.min_batch_size)) return model;
  }
  const std::vector<std::size_t> columns = AllColumns(rows);
  const Regression regression = Regress(rows, values, feature, batches, true, columns);
  if (!regression.full_rank) return model;
  model.beta = regression.coefficients.tail(static_cast<Index>(columns.size()));

  double people = 0;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const double weight = options.reference.empty() ? size.at(batches[b]) : (batches[b] == options.reference ? 1 : 0);
    model.alpha += weight * regression.coefficients[static_cast<Index>(b)];
    people += weight;
  }
  model.alpha /= people;
  double squares = 0;
  double present = 0;
  for (std::size_t i = 0; i < regression.used.size(); ++i) {
    if (!options.reference.empty() && rows[regression.used[i]].batch != options.reference) continue;
    squares += regression.residuals[static_cast<Index>(i)] * regression.residuals[static_cast<Index>(i)];
    ++present;
  }
  model.sigma = std::sqrt(squares / present);
  model.adjusted = model.sigma > 1e-9;
  return model;
}

double FittedOf(const FeatureModel& model, const Row& row) {
  double fitted = model.alpha;
  for (Index i = 0; i < model.beta.size(); ++i) fitted += row.covariates[static_cast<std::size_t>(i)] * model.beta[i];
  return fitted;
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  const std::size_t half = v.size() / 2;
  return v.size() % 2 == 1 ? v[half] : (v[half - 1] + v[half]) / 2;
}

}  // namespace

NaiveResult NaiveCombat(const std::vector<Row>& rows, const NaiveOptions& options) {
  const std::vector<BatchId> batches = BatchesOf(rows);
  std::map<BatchId, int> size;
  NaiveResult result;
  for (const Row& row : rows) {
    size[row.batch] += row.fit ? 1 : 0;
    result.values.push_back(row.values);
  }
  const std::vector<std::vector<double>> original = result.values;
  std::vector<FeatureModel> models;
  for (std::size_t f = 0; f < rows.front().values.size(); ++f) {
    models.push_back(FitFeature(rows, original, f, batches, size, options));
    result.adjusted.push_back(models.back().adjusted);
  }

  for (const BatchId& batch : batches) {
    if (batch == options.reference) continue;
    const bool mean_only = options.mean_only || size.at(batch) < options.min_batch_size;
    std::map<std::size_t, Estimate> estimates;
    std::vector<Estimate*> usable;
    for (std::size_t f = 0; f < models.size(); ++f) {
      if (!models[f].adjusted) continue;
      Estimate& e = estimates[f];
      for (const Row& row : rows) {
        if (!row.fit || row.batch != batch || std::isnan(row.values[f])) continue;
        e.z.push_back((row.values[f] - FittedOf(models[f], row)) / models[f].sigma);
      }
      e.gamma = Mean(e.z);
      if (e.z.size() > 1) e.delta2 = Variance(e.z);
      e.gamma_star = e.gamma;
      if (!mean_only) e.delta2_star = e.delta2;
      usable.push_back(&e);
    }
    if (usable.size() >= kFewestFeaturesForPrior && options.prior == NaivePrior::kParametric)
      ShrinkParametrically(usable, mean_only);
    if (usable.size() >= kFewestFeaturesForPrior && options.prior == NaivePrior::kNonparametric) {
      ShrinkNonparametrically(usable, mean_only);
    }
    for (const auto& [f, e] : estimates) {
      for (std::size_t r = 0; r < rows.size(); ++r) {
        if (rows[r].batch != batch) continue;
        const double fitted = FittedOf(models[f], rows[r]);
        const double z = (rows[r].values[f] - fitted) / models[f].sigma;
        result.values[r][f] = models[f].sigma * (z - e.gamma_star) / std::sqrt(e.delta2_star) + fitted;
      }
    }
  }
  return result;
}

NaiveFigures FiguresOfFeature(const std::vector<Row>& rows, const std::vector<std::vector<double>>& values, std::size_t feature,
                              const std::vector<Covariate>& covariates) {
  const std::vector<BatchId> batches = BatchesOf(rows);
  const std::vector<DesignColumn> columns = DesignColumns(covariates);
  const std::vector<std::size_t> all = AllColumns(rows);
  const Regression full = Regress(rows, values, feature, batches, true, all);
  const double rss_full = full.residuals.squaredNorm();
  const double rss_without_batch = Regress(rows, values, feature, batches, false, all).residuals.squaredNorm();
  const auto s = static_cast<double>(batches.size());
  NaiveFigures figures;
  figures.count = static_cast<double>(full.used.size());
  const double freedom = figures.count - s - static_cast<double>(columns.size());
  figures.f = s > 1 ? ((rss_without_batch - rss_full) / (s - 1)) / (rss_full / freedom) : 0;
  figures.partial_eta_squared = (rss_without_batch - rss_full) / rss_without_batch;
  for (std::size_t c = 0; c < covariates.size(); ++c) {
    std::vector<std::size_t> others;
    for (const std::size_t column : all) {
      if (columns[column].covariate != c) others.push_back(column);
    }
    const double reduced = Regress(rows, values, feature, batches, true, others).residuals.squaredNorm();
    figures.covariate_f.push_back(((reduced - rss_full) / static_cast<double>(all.size() - others.size())) /
                                  (rss_full / freedom));
  }

  std::vector<double> squares(batches.size());
  std::vector<double> present(batches.size());
  for (std::size_t i = 0; i < full.used.size(); ++i) {
    squares[full.batch_of_used[i]] += full.residuals[static_cast<Index>(i)] * full.residuals[static_cast<Index>(i)];
    ++present[full.batch_of_used[i]];
  }
  double all_squares = 0;
  double all_freedom = 0;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    if (present[b] < 2) continue;
    all_squares += squares[b];
    all_freedom += present[b] - 1;
  }
  std::vector<double> ratios;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    if (present[b] >= 2)
      ratios.push_back(std::abs(0.5 * std::log((squares[b] / (present[b] - 1)) / (all_squares / all_freedom))));
  }
  figures.log_scale_ratio = Median(ratios);
  return figures;
}

}  // namespace attune::testing

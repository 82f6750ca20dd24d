// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/batch_fit.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/methods/combat/pooled_model.h"
#include "common/numeric/empirical_bayes.h"
#include "common/numeric/linear_model.h"

namespace attune::combat {
namespace {

using Eigen::Index;

Form ModelForm(Index p, Index f) {
  return {{"n", BlockKind::kCount, 1, 1},       {"alpha", BlockKind::kSum, 1, f},      {"beta", BlockKind::kSum, p, f},
          {"sigma", BlockKind::kSum, 1, f},     {"gamma", BlockKind::kSum, 1, f},      {"delta2", BlockKind::kSum, 1, f},
          {"gamma_hat", BlockKind::kSum, 1, f}, {"delta2_hat", BlockKind::kSum, 1, f}, {"adjusted", BlockKind::kCount, 1, f},
          {"prior", BlockKind::kSum, 5, 1}};
}

// A model file was read: its blocks may be any.
absl::Status CheckModelForm(const Blocks& parameters, Index p, Index f) {
  for (const BlockSpec& spec : ModelForm(p, f)) {
    if (!parameters.Has(spec.name)) return absl::InvalidArgumentError(absl::StrCat("the model has no '", spec.name, "'"));
    const auto block = parameters[spec.name];
    if (block.rows() == spec.rows && block.cols() == spec.cols) continue;
    return absl::InvalidArgumentError(absl::StrCat("'", spec.name, "' of the model is ", block.rows(), " x ", block.cols(),
                                                   ", but the subject asks for ", spec.rows, " x ", spec.cols, ": it has ", f,
                                                   " features and ", p, " covariates"));
  }
  return absl::OkStatus();
}

// Sentences on what the batch itself flagged, for its own site and for the coordinator.
void NoteFlags(const StudyFacts& facts, const Summary& own, std::vector<std::string>* notes) {
  static constexpr std::pair<const char*, const char*> kFlags[] = {{"constant", "without variation in this batch: "},
                                                                   {"empty", "missing in everybody of this batch: "}};
  for (const auto& [flag, words] : kFlags) {
    if (!own.Has(flag)) continue;
    std::vector<std::string> features;
    const Eigen::MatrixXd flags = own.Columns(flag, 0, static_cast<Index>(facts.features.size()));
    for (Index f = 0; f < flags.cols(); ++f) {
      if (flags(0, f) > 0) features.push_back(facts.features[static_cast<std::size_t>(f)]);
    }
    if (!features.empty()) notes->push_back(absl::StrCat(words, JoinSome(features, 200)));
  }
}

// The estimates of the features in `usable`, before shrinking.
BatchEstimates Estimate(const Setup& setup, const Blocks& common, const Moments& own, const std::vector<Index>& usable) {
  const auto size = static_cast<Index>(usable.size());
  BatchEstimates estimates{Eigen::ArrayXd(size), Eigen::ArrayXd(size), Eigen::ArrayXd(size), Eigen::ArrayXd(size)};
  const auto alpha = common["alpha"];
  const auto beta = common["beta"];
  const auto sigma = common["sigma"];
  const Index p = setup.p;
  for (Index k = 0; k < size; ++k) {
    const Index f = usable[static_cast<std::size_t>(k)];
    const Index column = own.DesignColumn(f);
    const double* beta_f = beta.data() + f * p;
    double location = own.y_mean[f] - alpha(0, f);
    for (Index i = 0; i < p; ++i) location -= own.x_mean(i, column) * beta_f[i];
    const double variance = sigma(0, f) * sigma(0, f);
    double rss = ResidualSumOfSquares(own.xx.data() + column * p * p, own.xy.data() + f * p, own.yy[f], beta_f, p) / variance;
    // What rounding leaves is no scale to divide by.
    if (!(rss * variance > kNoResidual * own.yy[f])) rss = 0;
    estimates.gamma[k] = location / sigma(0, f);
    estimates.rss[k] = rss;
    estimates.n[k] = own.count[column];
    // One subject has no scale; only a small batch, corrected in location only, comes here with one.
    estimates.delta2[k] = own.count[column] > 1 ? rss / (own.count[column] - 1) : 1.0;
  }
  return estimates;
}

}  // namespace

absl::StatusOr<BatchModel> FitBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const BatchId& batch,
                                    const Summary& own, int threads) {
  BatchModel model{batch, Blocks::Zero(ModelForm(setup.p, setup.features)), {}};
  Blocks& out = model.parameters;
  out.Mutable("alpha") = common["alpha"];
  out.Mutable("beta") = common["beta"];
  out.Mutable("sigma") = common["sigma"];
  out.Mutable("delta2").setOnes();
  out.Mutable("delta2_hat").setOnes();
  const double n = own["n"](0, 0);
  out.Mutable("n")(0, 0) = n;

  NoteFlags(facts, own, &model.notes);

  std::vector<Index> usable;
  usable.reserve(static_cast<std::size_t>(setup.features));
  const auto status = common["status"];
  const Eigen::MatrixXd constant = own.Columns("constant", 0, setup.features);
  const Eigen::MatrixXd empty = own.Columns(setup.missing ? "empty" : "constant", 0, setup.features);
  for (Index f = 0; f < setup.features; ++f) {
    if (!IsAdjusted(status(0, f))) continue;
    // Such a feature's sums were not sent, so that no parameters can follow from them.
    if (constant(0, f) > 0 || empty(0, f) > 0) {
      return absl::InvalidArgumentError(absl::StrCat("batch '", batch, "': the pooled parameters adjust feature '",
                                                     facts.features[static_cast<std::size_t>(f)],
                                                     "', which this batch flagged as without variation or missing"));
    }
    usable.push_back(f);
  }
  if (usable.empty()) return model;
  const BatchEstimates estimates = Estimate(setup, common, MomentsOf(own, setup, 0, setup.features), usable);
  const auto not_finite = [&](std::size_t k) {
    return absl::FailedPreconditionError(absl::StrCat("batch '", batch, "': the location and scale of feature '",
                                                      facts.features[static_cast<std::size_t>(usable[k])],
                                                      "' are not finite; look for extreme values in this feature"));
  };
  auto gamma_hat = out.Mutable("gamma_hat");
  auto delta2_hat = out.Mutable("delta2_hat");
  for (std::size_t k = 0; k < usable.size(); ++k) {
    gamma_hat(0, usable[k]) = estimates.gamma[static_cast<Index>(k)];
    delta2_hat(0, usable[k]) = estimates.delta2[static_cast<Index>(k)];
    if (!std::isfinite(gamma_hat(0, usable[k])) || !std::isfinite(delta2_hat(0, usable[k]))) return not_finite(k);
  }
  if (batch == setup.reference) {
    model.notes.push_back("this is the reference batch: its values come back untouched");
    return model;
  }

  const bool small = setup.IsSmall(n);
  const bool mean_only = setup.options.mean_only() || small;
  if (small) {
    model.notes.push_back(absl::StrCat("this batch has ", n, " subjects, fewer than min_batch_size ", setup.min_batch_size,
                                       ": it is corrected in location only"));
  }
  v1::Prior prior_kind = setup.options.prior();
  if (prior_kind != v1::PRIOR_NONE && static_cast<Index>(usable.size()) < kFewestFeaturesForPrior) {
    prior_kind = v1::PRIOR_NONE;
  }
  ShrunkEstimates shrunk;
  if (prior_kind == v1::PRIOR_NONE) {
    shrunk = {estimates.gamma, mean_only ? Eigen::ArrayXd::Ones(estimates.gamma.size()) : estimates.delta2};
  } else {
    const BatchPrior prior = EstimatePrior(estimates);
    auto stored = out.Mutable("prior");
    stored << prior.gamma_bar, prior.tau2, prior.a, prior.b, prior.delta2_mean;
    if (!stored.allFinite()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "batch '", batch, "': locations and scales are too large to compute with; look for extreme values in its features"));
    }
    // A scale of 0 has no likelihood; the check below names the feature.
    const bool scales_positive = mean_only || (estimates.delta2 > 0).all();
    if (prior_kind == v1::PRIOR_NONPARAMETRIC && scales_positive) {
      shrunk = ShrinkNonparametric(estimates, mean_only, threads);
    } else if (prior_kind == v1::PRIOR_NONPARAMETRIC) {
      shrunk = {estimates.gamma, estimates.delta2};
    } else if (mean_only) {
      shrunk = ShrinkLocation(estimates, prior);
    } else {
      absl::StatusOr<ShrunkEstimates> parametric = ShrinkParametric(estimates, prior, threads);
      if (!parametric.ok()) return WithContext(parametric.status(), absl::StrCat("batch '", batch, "'"));
      shrunk = *std::move(parametric);
    }
  }
  auto gamma = out.Mutable("gamma");
  auto delta2 = out.Mutable("delta2");
  auto adjusted = out.Mutable("adjusted");
  for (std::size_t k = 0; k < usable.size(); ++k) {
    const double scale = shrunk.delta2[static_cast<Index>(k)];
    if (!std::isfinite(scale) || !std::isfinite(shrunk.gamma[static_cast<Index>(k)])) return not_finite(k);
    if (!(scale > 0)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "batch '", batch, "': the covariates leave feature '", facts.features[static_cast<std::size_t>(usable[k])],
          "' no variance in this batch, so that its scale cannot be corrected; leave the feature out, or use mean_only: true"));
    }
    gamma(0, usable[k]) = shrunk.gamma[static_cast<Index>(k)];
    delta2(0, usable[k]) = scale;
    adjusted(0, usable[k]) = 1;
  }
  return model;
}

Blocks CorrectionOfBatch(const BatchModel& model, const Setup& setup) {
  Blocks blocks = Blocks::Zero({{"gamma", BlockKind::kSum, 1, setup.features},
                                {"delta2", BlockKind::kSum, 1, setup.features},
                                {"gamma_hat", BlockKind::kSum, 1, setup.features},
                                {"delta2_hat", BlockKind::kSum, 1, setup.features}});
  for (const BlockSpec& spec : Form(blocks.form())) blocks.Mutable(spec.name) = model.parameters[spec.name];
  return blocks;
}

LocationScale LocationScaleOf(const Blocks& parameters, Index first, Index count) {
  const auto row = [&](const char* name) -> Eigen::ArrayXd {
    return parameters[name].middleCols(first, count).transpose().array();
  };
  return {row("alpha"),   parameters["beta"].middleCols(first, count).array(), row("sigma"), row("gamma"), row("delta2"),
          row("adjusted")};
}

absl::Status ApplyModel(const Blocks& parameters, const Subject& subject, std::span<double> out) {
  const std::size_t features = subject.values.size();
  const std::size_t p = subject.covariates.size();
  ATTUNE_RETURN_IF_ERROR(CheckModelForm(parameters, static_cast<Index>(p), static_cast<Index>(features)));
  if (out.size() != features) {
    return absl::InvalidArgumentError(absl::StrCat("there is room for ", out.size(), " of ", features, " harmonized values"));
  }
  const auto alpha = parameters["alpha"];
  const auto beta = parameters["beta"];
  const auto sigma = parameters["sigma"];
  const auto gamma = parameters["gamma"];
  const auto delta2 = parameters["delta2"];
  const auto adjusted = parameters["adjusted"];
  for (std::size_t f = 0; f < features; ++f) {
    const auto column = static_cast<Index>(f);
    if (adjusted(0, column) == 0 || std::isnan(subject.values[f])) {
      out[f] = subject.values[f];
      continue;
    }
    if (!(sigma(0, column) > 0) || !(delta2(0, column) > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model's sigma or delta2 of feature number ", f + 1, " is not positive: the model is damaged"));
    }
    double effect = 0;
    for (std::size_t i = 0; i < p; ++i) effect += subject.covariates[i] * beta(static_cast<Index>(i), column);
    const double z = (subject.values[f] - alpha(0, column) - effect) / sigma(0, column);
    out[f] = sigma(0, column) * (z - gamma(0, column)) / std::sqrt(delta2(0, column)) + alpha(0, column) + effect;
  }
  return absl::OkStatus();
}

}  // namespace attune::combat

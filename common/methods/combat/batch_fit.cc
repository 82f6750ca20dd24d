// SPDX-License-Identifier: Apache-2.0
#include "common/methods/combat/batch_fit.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"
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

// Features that one thread takes at a time.
constexpr Index kBatchTileFeatures = 4096;

// The least of the numbers that several threads tell it.
class Least {
 public:
  explicit Least(Index none) : none_(none), value_(none) {}
  void Tell(Index value) {
    Index before = value_;
    while (value < before && !value_.compare_exchange_weak(before, value)) {
    }
  }
  std::optional<Index> value() const { return value_ == none_ ? std::nullopt : std::optional<Index>(value_); }

 private:
  Index none_;
  std::atomic<Index> value_;
};

// One entry per feature of the block `name`.
std::span<double> RowOf(Blocks& blocks, const char* name) {
  auto block = blocks.Mutable(name);
  return {block.data(), static_cast<std::size_t>(block.size())};
}
std::span<const double> RowOf(const Blocks& blocks, const char* name) {
  const auto block = blocks[name];
  return {block.data(), static_cast<std::size_t>(block.size())};
}

// What Estimate writes, one entry per feature.
struct Estimates {
  std::span<double> gamma;
  std::span<double> delta2;
  std::span<double> rss;
};

// The estimates of the features [first, last) that are adjusted, before shrinking. Of the others gamma = rss = 0, delta2 = 1.
void Estimate(const Setup& setup, const Blocks& common, const Summary& own, Index first, Index last, Estimates out) {
  const double* alpha = common["alpha"].data();
  const double* beta = common["beta"].data();
  const double* sigma = common["sigma"].data();
  const double* status = common["status"].data();
  const Index p = setup.p;
  const Moments moments = MomentsOf(own, setup, first, last - first);
  for (Index f = first; f < last; ++f) {
    const auto at = static_cast<std::size_t>(f);
    if (!IsAdjusted(status[f])) {
      out.gamma[at] = out.rss[at] = 0;
      out.delta2[at] = 1;
      continue;
    }
    const Index k = f - first;
    const Index column = moments.DesignColumn(k);
    const double* beta_f = beta + f * p;
    double location = moments.y_mean[k] - alpha[f];
    for (Index i = 0; i < p; ++i) location -= moments.x_mean(i, column) * beta_f[i];
    const double variance = sigma[f] * sigma[f];
    const double yy = moments.yy[k];
    double rss = ResidualSumOfSquares(moments.xx.data() + column * p * p, moments.xy.data() + k * p, yy, beta_f, p) / variance;
    // What rounding leaves is no scale to divide by.
    if (!(rss * variance > kNoResidual * yy)) rss = 0;
    const double n = moments.count[column];
    out.gamma[at] = location / sigma[f];
    out.rss[at] = rss;
    // One subject has no scale; only a small batch, corrected in location only, comes here with one.
    out.delta2[at] = n > 1 ? rss / (n - 1) : 1.0;
  }
}

// What a model says of each feature.
struct ModelRows {
  const double* alpha;
  const double* sigma;
  const double* gamma;
  const double* delta2;
  const double* adjusted;
};

// Features that are harmonized before looking whether all was well.
constexpr std::size_t kApplyFeatures = 512;

// Harmonizes the features [first, first + count). effect: x'beta of these. False when a scale that is needed is not positive.
// Without a branch: the compiler makes vector instructions of it.
bool ApplyTile(const ModelRows& model, const double* effect, const double* values, std::size_t first, std::size_t count,
               double* all_out) {
  const double* y = values + first;
  const double* alpha = model.alpha + first;
  const double* sigma = model.sigma + first;
  const double* gamma = model.gamma + first;
  const double* delta2 = model.delta2 + first;
  const double* adjusted = model.adjusted + first;
  double* __restrict out = all_out + first;
  double damaged[kApplyFeatures];
  for (std::size_t k = 0; k < count; ++k) {
    const double z = (y[k] - alpha[k] - effect[k]) / sigma[k];
    const double harmonized = sigma[k] * (z - gamma[k]) / std::sqrt(delta2[k]) + alpha[k] + effect[k];
    const double least = sigma[k] < delta2[k] ? sigma[k] : delta2[k];
    const double bad = sigma[k] == sigma[k] && least > 0 ? 0.0 : 1.0;
    const double needed = adjusted[k] == 0 ? 0.0 : y[k] == y[k] ? 1.0 : 0.0;
    out[k] = needed == 0 ? y[k] : harmonized;
    damaged[k] = bad * needed;
  }
  std::uint64_t any = 0;
  for (std::size_t k = 0; k < count; ++k) any |= std::bit_cast<std::uint64_t>(damaged[k]);
  return any == 0;
}

}  // namespace

Form CorrectionForm(const Setup& setup) {
  return {{"gamma", BlockKind::kSum, 1, setup.features},
          {"delta2", BlockKind::kSum, 1, setup.features},
          {"gamma_hat", BlockKind::kSum, 1, setup.features},
          {"delta2_hat", BlockKind::kSum, 1, setup.features}};
}

namespace {

// Fills the blocks of CorrectionForm, which `out` has, and "prior" where it has that.
absl::Status FitInto(const StudyFacts& facts, const Setup& setup, const Blocks& common, const BatchId& batch,
                     const Summary& own, int threads, Blocks& out, std::vector<std::string>* notes) {
  NoteFlags(facts, own, notes);
  const double n = own["n"](0, 0);
  const std::span<const double> status = RowOf(common, "status");
  ScratchArray rss(static_cast<std::size_t>(setup.features));
  const Estimates estimated{RowOf(out, "gamma_hat"), RowOf(out, "delta2_hat"), rss};
  const ShrunkEstimates shrunk{RowOf(out, "gamma"), RowOf(out, "delta2")};
  Least flagged(setup.features);
  Least not_estimated(setup.features);
  std::atomic<Index> counted{0};
  ParallelTiles(setup.features, kBatchTileFeatures, threads, [&](Index first, Index last) {
    Estimate(setup, common, own, first, last, estimated);
    const Eigen::MatrixXd constant = own.Columns("constant", first, last - first);
    const Eigen::MatrixXd empty = own.Columns(setup.missing ? "empty" : "constant", first, last - first);
    Index here = 0;
    for (Index f = first; f < last; ++f) {
      const auto at = static_cast<std::size_t>(f);
      shrunk.delta2[at] = 1;
      if (!IsAdjusted(status[at])) continue;
      ++here;
      if (constant(0, f - first) > 0 || empty(0, f - first) > 0) flagged.Tell(f);
      if (!std::isfinite(estimated.gamma[at]) || !std::isfinite(estimated.delta2[at])) not_estimated.Tell(f);
    }
    counted += here;
  });
  const auto name_of = [&](Index f) { return facts.features[static_cast<std::size_t>(f)]; };
  const auto not_finite = [&](Index f) {
    return absl::FailedPreconditionError(absl::StrCat("batch '", batch, "': the location and scale of feature '", name_of(f),
                                                      "' are not finite; look for extreme values in this feature"));
  };
  // Such a feature's sums were not sent, so that no parameters can follow from them.
  if (const auto f = flagged.value()) {
    return absl::InvalidArgumentError(absl::StrCat("batch '", batch, "': the pooled parameters adjust feature '", name_of(*f),
                                                   "', which this batch flagged as without variation or missing"));
  }
  if (counted == 0) return absl::OkStatus();
  if (const auto f = not_estimated.value()) return not_finite(*f);
  if (batch == setup.reference) {
    notes->push_back("this is the reference batch: its values come back untouched");
    return absl::OkStatus();
  }

  const bool small = setup.IsSmall(n);
  const bool mean_only = setup.options.mean_only() || small;
  if (small) {
    notes->push_back(absl::StrCat("this batch has ", n, " subjects, fewer than min_batch_size ", setup.min_batch_size,
                                  ": it is corrected in location only"));
  }
  v1::Prior prior_kind = setup.options.prior();
  if (prior_kind != v1::PRIOR_NONE && counted < kFewestFeaturesForPrior) prior_kind = v1::PRIOR_NONE;
  const auto keep_estimates = [&](bool scales) {
    std::copy(estimated.gamma.begin(), estimated.gamma.end(), shrunk.gamma.begin());
    if (scales) std::copy(estimated.delta2.begin(), estimated.delta2.end(), shrunk.delta2.begin());
  };
  if (prior_kind == v1::PRIOR_NONE) {
    keep_estimates(!mean_only);
  } else {
    const Eigen::MatrixXd count = setup.missing ? own.Columns("count", 0, setup.features) : own["n"];
    const BatchEstimates estimates{
        estimated.gamma, estimated.delta2, estimated.rss, {count.data(), static_cast<std::size_t>(count.size())}, status};
    const BatchPrior prior = EstimatePrior(estimates);
    const Eigen::Matrix<double, 5, 1> stored(prior.gamma_bar, prior.tau2, prior.a, prior.b, prior.delta2_mean);
    if (!stored.allFinite()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "batch '", batch, "': locations and scales are too large to compute with; look for extreme values in its features"));
    }
    if (out.Has("prior")) out.Mutable("prior") = stored;
    // A scale of 0 has no likelihood; the check below names the feature. Features that are left out have scale 1.
    const bool scales_positive =
        mean_only || std::all_of(estimated.delta2.begin(), estimated.delta2.end(), [](double scale) { return scale > 0; });
    if (prior_kind == v1::PRIOR_NONPARAMETRIC && scales_positive) {
      ShrinkNonparametric(estimates, mean_only, threads, shrunk);
    } else if (prior_kind == v1::PRIOR_NONPARAMETRIC) {
      keep_estimates(true);
    } else if (mean_only) {
      ShrinkLocation(estimates, prior, shrunk);
    } else if (absl::Status parametric = ShrinkParametric(estimates, prior, threads, shrunk); !parametric.ok()) {
      return WithContext(parametric, absl::StrCat("batch '", batch, "'"));
    }
  }
  Least no_scale(setup.features);
  ParallelTiles(setup.features, kBatchTileFeatures, threads, [&](Index first, Index last) {
    for (Index f = first; f < last; ++f) {
      double& gamma = shrunk.gamma[static_cast<std::size_t>(f)];
      double& delta2 = shrunk.delta2[static_cast<std::size_t>(f)];
      if (!IsAdjusted(status[static_cast<std::size_t>(f)])) {
        gamma = 0;
        delta2 = 1;
      } else if (!std::isfinite(gamma) || !std::isfinite(delta2) || !(delta2 > 0)) {
        no_scale.Tell(f);
      }
    }
  });
  if (const auto f = no_scale.value()) {
    const auto at = static_cast<std::size_t>(*f);
    if (!std::isfinite(shrunk.gamma[at]) || !std::isfinite(shrunk.delta2[at])) return not_finite(*f);
    return absl::FailedPreconditionError(absl::StrCat(
        "batch '", batch, "': the covariates leave feature '", name_of(*f),
        "' no variance in this batch, so that its scale cannot be corrected; leave the feature out, or use mean_only: true"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BatchModel> FitBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const BatchId& batch,
                                    const Summary& own, int threads) {
  BatchModel model{batch, Blocks::Zero(ModelForm(setup.p, setup.features)), {}};
  Blocks& out = model.parameters;
  ATTUNE_RETURN_IF_ERROR(FitInto(facts, setup, common, batch, own, threads, out, &model.notes));
  out.Mutable("n") = own["n"];
  auto adjusted = out.Mutable("adjusted");
  const auto status = common["status"];
  ParallelTiles(setup.features, kBatchTileFeatures, threads, [&](Index first, Index last) {
    for (const char* name : {"alpha", "beta", "sigma"}) {
      out.Mutable(name).middleCols(first, last - first) = common[name].middleCols(first, last - first);
    }
    if (batch == setup.reference) return;
    for (Index f = first; f < last; ++f) adjusted(0, f) = IsAdjusted(status(0, f)) ? 1 : 0;
  });
  return model;
}

absl::StatusOr<BatchModel> FitCorrection(const StudyFacts& facts, const Setup& setup, const Blocks& common,
                                         const BatchId& batch, const Summary& own, int threads) {
  BatchModel part{batch, Blocks::Zero(CorrectionForm(setup)), {}};
  ATTUNE_RETURN_IF_ERROR(FitInto(facts, setup, common, batch, own, threads, part.parameters, &part.notes));
  return part;
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
  const ModelRows rows{parameters["alpha"].data(), parameters["sigma"].data(), parameters["gamma"].data(),
                       parameters["delta2"].data(), parameters["adjusted"].data()};
  const double* beta = parameters["beta"].data();
  double effect[kApplyFeatures] = {};
  for (std::size_t first = 0; first < features; first += kApplyFeatures) {
    const std::size_t count = std::min(kApplyFeatures, features - first);
    for (std::size_t k = 0; k < count && p > 0; ++k) {
      effect[k] = 0;
      for (std::size_t i = 0; i < p; ++i) effect[k] += subject.covariates[i] * beta[(first + k) * p + i];
    }
    if (ApplyTile(rows, effect, subject.values.data(), first, count, out.data())) continue;
    for (std::size_t f = first; f < first + count; ++f) {
      if (rows.adjusted[f] == 0 || std::isnan(subject.values[f]) || (rows.sigma[f] > 0 && rows.delta2[f] > 0)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("the model's sigma or delta2 of feature number ", f + 1, " is not positive: the model is damaged"));
    }
  }
  return absl::OkStatus();
}

}  // namespace attune::combat

// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/moments.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "common/base/parallel.h"

namespace attune {
namespace {

using Eigen::Index;

// Features per tile: small enough for the cache, large enough that a thread is worth starting.
constexpr Index kMomentTileFeatures = 2048;

// Calls body(first, last) for each tile of features.
void ForEachTile(Index features, int threads, absl::FunctionRef<void(Index, Index)> body) {
  const Index tiles = (features + kMomentTileFeatures - 1) / kMomentTileFeatures;
  ParallelFor(static_cast<std::size_t>(tiles), threads, [&](std::size_t tile) {
    const Index first = static_cast<Index>(tile) * kMomentTileFeatures;
    body(first, std::min(first + kMomentTileFeatures, features));
  });
}

// The mean of n values, as a distance from the first: equal values have exactly their value as mean, and so a scatter of
// exactly 0 in every block and every merge. Added up and divided, 0.1 would not be 0.1 again, and rounding would pass for
// variation.
template <typename ValueOf>
double MeanFromFirst(Index n, const ValueOf& value_of) {
  if (n == 0) return 0;
  const double first = value_of(0);
  double sum = 0;
  for (Index s = 1; s < n; ++s) sum += value_of(s) - first;
  return first + sum / static_cast<double>(n);
}

// Mean and scatter of x over the columns `present` of `x`.
void DesignOfBlock(const Eigen::MatrixXd& x, const Index* present, Index n, double* mean, double* scatter) {
  const Index p = x.rows();
  for (Index i = 0; i < p; ++i) {
    mean[i] = MeanFromFirst(n, [&](Index s) { return x(i, present[s]); });
  }
  for (Index j = 0; j < p; ++j) {
    for (Index i = 0; i < p; ++i) {
      double sum = 0;
      for (Index s = 0; s < n; ++s) sum += (x(i, present[s]) - mean[i]) * (x(j, present[s]) - mean[j]);
      scatter[i + j * p] = sum;
    }
  }
}

// One feature of a block, over the subjects `present`.
void FeatureOfBlock(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y, Index f, const Index* present, Index n,
                    const double* x_mean, Moments& out) {
  const Index p = x.rows();
  const auto value_of = [&](Index s) { return y(f, present[s]); };
  for (Index s = 0; s < n; ++s) {
    out.y_min[f] = std::min(out.y_min[f], value_of(s));
    out.y_max[f] = std::max(out.y_max[f], value_of(s));
  }
  const double mean = MeanFromFirst(n, value_of);
  out.y_mean[f] = mean;
  double yy = 0;
  for (Index s = 0; s < n; ++s) {
    const double centred = y(f, present[s]) - mean;
    yy += centred * centred;
    for (Index i = 0; i < p; ++i) out.xy(i, f) += (x(i, present[s]) - x_mean[i]) * centred;
  }
  out.yy[f] = yy;
}

Moments OfBlock(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y, Index subjects, bool per_feature, int threads) {
  const Index features = y.rows();
  Moments out(x.rows(), features, per_feature);
  out.subjects = static_cast<double>(subjects);
  Index everybody[kBlockSubjects];
  for (Index s = 0; s < subjects; ++s) everybody[s] = s;
  if (!per_feature) {
    out.count[0] = out.subjects;
    DesignOfBlock(x, everybody, subjects, out.x_mean.data(), out.xx.data());
  }
  ForEachTile(features, threads, [&](Index first, Index last) {
    for (Index f = first; f < last; ++f) {
      if (!per_feature) {
        FeatureOfBlock(x, y, f, everybody, subjects, out.x_mean.data(), out);
        continue;
      }
      Index present[kBlockSubjects];
      Index n = 0;
      for (Index s = 0; s < subjects; ++s) {
        if (!std::isnan(y(f, s))) present[n++] = s;
      }
      out.count[f] = static_cast<double>(n);
      double* x_mean = out.x_mean.data() + f * x.rows();
      DesignOfBlock(x, present, n, x_mean, out.xx.data() + f * x.rows() * x.rows());
      FeatureOfBlock(x, y, f, present, n, x_mean, out);
    }
  });
  return out;
}

}  // namespace

Moments::Moments(Index p, Index features, bool per_feature_design)
    : per_feature(per_feature_design),
      count(Eigen::ArrayXd::Zero(per_feature ? features : 1)),
      x_mean(Eigen::ArrayXXd::Zero(p, per_feature ? features : 1)),
      xx(Eigen::ArrayXXd::Zero(p * p, per_feature ? features : 1)),
      y_mean(Eigen::ArrayXd::Zero(features)),
      xy(Eigen::ArrayXXd::Zero(p, features)),
      yy(Eigen::ArrayXd::Zero(features)),
      y_min(Eigen::ArrayXd::Constant(features, std::numeric_limits<double>::infinity())),
      y_max(Eigen::ArrayXd::Constant(features, -std::numeric_limits<double>::infinity())) {}

void Moments::Merge(const Moments& other, int threads) {
  assert(other.p() == p() && other.features() == features() && other.per_feature == per_feature);
  const Index columns = p();
  // Chan's formula for feature f with the design column d, whose own means move after all features have used them.
  const auto merge_feature = [&](Index f, Index d) {
    const double here = count[d];
    const double there = other.count[d];
    if (there == 0) return;
    const double weight = here * there / (here + there);
    const double delta = other.y_mean[f] - y_mean[f];
    for (Index i = 0; i < columns; ++i) {
      xy(i, f) += other.xy(i, f) + weight * (other.x_mean(i, d) - x_mean(i, d)) * delta;
    }
    yy[f] += other.yy[f] + weight * delta * delta;
    y_mean[f] += delta * (there / (here + there));
    y_min[f] = std::min(y_min[f], other.y_min[f]);
    y_max[f] = std::max(y_max[f], other.y_max[f]);
  };
  const auto merge_design = [&](Index d) {
    const double here = count[d];
    const double there = other.count[d];
    if (there == 0) return;
    const double weight = here * there / (here + there);
    for (Index j = 0; j < columns; ++j) {
      for (Index i = 0; i < columns; ++i) {
        xx(i + j * columns, d) +=
            other.xx(i + j * columns, d) + weight * (other.x_mean(i, d) - x_mean(i, d)) * (other.x_mean(j, d) - x_mean(j, d));
      }
    }
    for (Index i = 0; i < columns; ++i) {
      x_mean(i, d) += (other.x_mean(i, d) - x_mean(i, d)) * (there / (here + there));
    }
    count[d] = here + there;
  };
  ForEachTile(features(), threads, [&](Index first, Index last) {
    for (Index f = first; f < last; ++f) {
      merge_feature(f, DesignColumn(f));
      if (per_feature) merge_design(f);
    }
  });
  if (!per_feature) merge_design(0);
  subjects += other.subjects;
}

MomentTree::MomentTree(Index p, Index features, bool per_feature, Index first_subject, int threads)
    : p_(p),
      features_(features),
      per_feature_(per_feature),
      threads_(threads),
      next_subject_(first_subject),
      block_x_(p, kBlockSubjects),
      block_y_(features, kBlockSubjects) {}

void MomentTree::Add(std::span<const double> x, std::span<const double> y) {
  assert(static_cast<Index>(x.size()) == p_ && static_cast<Index>(y.size()) == features_);
  std::copy(x.begin(), x.end(), block_x_.data() + in_block_ * p_);
  std::copy(y.begin(), y.end(), block_y_.data() + in_block_ * features_);
  ++in_block_;
  ++next_subject_;
  if (next_subject_ % kBlockSubjects == 0) CloseBlock();
}

void MomentTree::CloseBlock() {
  if (in_block_ == 0) return;
  const Index block = (next_subject_ - 1) / kBlockSubjects;
  Push({0, block, OfBlock(block_x_, block_y_, in_block_, per_feature_, threads_)});
  in_block_ = 0;
}

void MomentTree::Push(Node node) {
  nodes_.push_back(std::move(node));
  while (nodes_.size() >= 2) {
    Node& left = nodes_[nodes_.size() - 2];
    const Node& right = nodes_.back();
    if (left.level != right.level || left.index % 2 != 0 || left.index + 1 != right.index) return;
    left.moments.Merge(right.moments, threads_);
    ++left.level;
    left.index /= 2;
    nodes_.pop_back();
  }
}

void MomentTree::Merge(MomentTree&& later) {
  CloseBlock();
  later.CloseBlock();
  for (Node& node : later.nodes_) Push(std::move(node));
  next_subject_ = later.next_subject_;
}

Moments MomentTree::Finish() && {
  CloseBlock();
  Moments all(p_, features_, per_feature_);
  for (const Node& node : nodes_) all.Merge(node.moments, threads_);
  return all;
}

}  // namespace attune

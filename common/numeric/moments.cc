// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/moments.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "common/base/parallel.h"

namespace attune {
namespace {

using Eigen::Index;

// Features that a thread takes at a time, and lets go of when it is done with them: what lies in files is in memory for one
// run per thread. A multiple of the pages of all machines.
constexpr Index kRunFeatures = 16384;
// Features of a run that are worked on together: all their quantities fit a core's own cache.
constexpr Index kTileFeatures = 512;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The quantities of a feature in a node: these, p products of x and y, and with per_feature its count, p means of x and p*p
// second moments of x.
enum Quantity : Index { kMean, kSquares, kLeast, kMost, kProducts };

struct Layout {
  Index p;
  bool per_feature;
  Index size() const { return kProducts + p + (per_feature ? 1 + p + p * p : 0); }
  Index count() const { return kProducts + p; }
  Index x_mean(Index i) const { return count() + 1 + i; }
  Index xx(Index ij) const { return count() + 1 + p + ij; }
};

template <typename T>
using Rows = FeatureRows<T>;

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

// Mean and scatter of x over the columns `present` of `x`: mean(i) and scatter(i + j * p) are where they belong.
template <typename Mean, typename Scatter>
void DesignOfBlock(const Eigen::MatrixXd& x, const Index* present, Index n, const Mean& mean, const Scatter& scatter) {
  const Index p = x.rows();
  for (Index i = 0; i < p; ++i) {
    mean(i) = MeanFromFirst(n, [&](Index s) { return x(i, present[s]); });
  }
  for (Index j = 0; j < p; ++j) {
    for (Index i = 0; i < p; ++i) {
      double sum = 0;
      for (Index s = 0; s < n; ++s) sum += (x(i, present[s]) - mean(i)) * (x(j, present[s]) - mean(j));
      scatter(i + j * p) = sum;
    }
  }
}

// A block of N subjects in whom all features are present. x_centred: N for each of the p columns. The loops over subjects are
// unrolled, so that those over features become vector instructions; each feature's sums keep the subjects' order.
template <int N>
void FeaturesOfBlock(const double* const* y, const double* x_centred, Index p, Index count, Rows<double> out) {
  double* __restrict mean = out[kMean];
  double* __restrict squares = out[kSquares];
  double* __restrict least = out[kLeast];
  double* __restrict most = out[kMost];
  std::array<const double*, N> row;
  std::copy(y, y + N, row.begin());
  for (Index f = 0; f < count; ++f) {
    const double first = row[0][f];
    double low = first;
    double high = first;
    double sum = 0;
    for (int s = 1; s < N; ++s) {
      const double value = row[s][f];
      low = value < low ? value : low;
      high = high < value ? value : high;
      sum += value - first;
    }
    const double centre = first + sum / static_cast<double>(N);
    double yy = 0;
    for (int s = 0; s < N; ++s) yy += (row[s][f] - centre) * (row[s][f] - centre);
    mean[f] = centre;
    squares[f] = yy;
    least[f] = low;
    most[f] = high;
  }
  for (Index i = 0; i < p; ++i) {
    double* __restrict products = out[kProducts + i];
    std::array<double, N> x;
    std::copy(x_centred + i * N, x_centred + (i + 1) * N, x.begin());
    for (Index f = 0; f < count; ++f) {
      double xy = 0;
      for (int s = 0; s < N; ++s) xy += x[s] * (row[s][f] - mean[f]);
      products[f] = xy;
    }
  }
}

using BlockFunction = void (*)(const double* const*, const double*, Index, Index, Rows<double>);
constexpr BlockFunction kFeaturesOfBlock[kBlockSubjects] = {FeaturesOfBlock<1>, FeaturesOfBlock<2>, FeaturesOfBlock<3>,
                                                            FeaturesOfBlock<4>, FeaturesOfBlock<5>, FeaturesOfBlock<6>,
                                                            FeaturesOfBlock<7>, FeaturesOfBlock<8>};

// A block of n subjects, each feature over those in whom it is present.
void OwnFeaturesOfBlock(const Eigen::MatrixXd& x, const double* const* y, Index n, Index count, const Layout& at,
                        Rows<double> out) {
  const Index p = x.rows();
  for (Index f = 0; f < count; ++f) {
    std::array<Index, kBlockSubjects> present;
    Index here = 0;
    for (Index s = 0; s < n; ++s) {
      if (!std::isnan(y[s][f])) present[static_cast<std::size_t>(here++)] = s;
    }
    out[at.count()][f] = static_cast<double>(here);
    const auto x_mean = [&](Index i) -> double& { return out[at.x_mean(i)][f]; };
    DesignOfBlock(x, present.data(), here, x_mean, [&](Index ij) -> double& { return out[at.xx(ij)][f]; });
    const auto value_of = [&](Index s) { return y[present[static_cast<std::size_t>(s)]][f]; };
    const double mean = MeanFromFirst(here, value_of);
    double yy = 0;
    double least = kInfinity;
    double most = -kInfinity;
    for (Index i = 0; i < p; ++i) out[kProducts + i][f] = 0;
    for (Index s = 0; s < here; ++s) {
      const double value = value_of(s);
      const double centred = value - mean;
      least = std::min(least, value);
      most = std::max(most, value);
      yy += centred * centred;
      for (Index i = 0; i < p; ++i) {
        out[kProducts + i][f] += (x(i, present[static_cast<std::size_t>(s)]) - x_mean(i)) * centred;
      }
    }
    out[kMean][f] = mean;
    out[kSquares][f] = yy;
    out[kLeast][f] = least;
    out[kMost][f] = most;
  }
}

// Chan's formula for features that have one design, of `here` subjects on the left and `there` on the right. x_step: what the
// means of x on the right are more than on the left. `out` is another tile.
void MergeFeatures(Rows<const double> left, Rows<const double> right, double here, double there,
                   const std::vector<double>& x_step, Index count, Rows<double> out) {
  const double weight = here * there / (here + there);
  const double part = there / (here + there);
  const double* left_mean = left[kMean];
  const double* right_mean = right[kMean];
  for (std::size_t i = 0; i < x_step.size(); ++i) {
    const Index q = kProducts + static_cast<Index>(i);
    const double* from_left = left[q];
    const double* from_right = right[q];
    double* __restrict products = out[q];
    const double step = weight * x_step[i];
    for (Index f = 0; f < count; ++f) {
      products[f] = from_left[f] + (from_right[f] + step * (right_mean[f] - left_mean[f]));
    }
  }
  const double* left_squares = left[kSquares];
  const double* right_squares = right[kSquares];
  const double* left_least = left[kLeast];
  const double* right_least = right[kLeast];
  const double* left_most = left[kMost];
  const double* right_most = right[kMost];
  double* __restrict mean = out[kMean];
  double* __restrict squares = out[kSquares];
  double* __restrict least = out[kLeast];
  double* __restrict most = out[kMost];
  for (Index f = 0; f < count; ++f) {
    const double delta = right_mean[f] - left_mean[f];
    squares[f] = left_squares[f] + (right_squares[f] + weight * delta * delta);
    mean[f] = left_mean[f] + delta * part;
    least[f] = right_least[f] < left_least[f] ? right_least[f] : left_least[f];
    most[f] = left_most[f] < right_most[f] ? right_most[f] : left_most[f];
  }
}

// The same where each feature has its own design.
void MergeOwnFeatures(Rows<const double> left, Rows<const double> right, const Layout& at, Index count, Rows<double> out) {
  const Index p = at.p;
  for (Index f = 0; f < count; ++f) {
    const double here = left[at.count()][f];
    const double there = right[at.count()][f];
    if (there == 0) {
      for (Index q = 0; q < at.size(); ++q) out[q][f] = left[q][f];
      continue;
    }
    const double weight = here * there / (here + there);
    const double part = there / (here + there);
    const double delta = right[kMean][f] - left[kMean][f];
    const auto x_step = [&](Index i) { return right[at.x_mean(i)][f] - left[at.x_mean(i)][f]; };
    for (Index i = 0; i < p; ++i) {
      const Index q = kProducts + i;
      out[q][f] = left[q][f] + (right[q][f] + weight * x_step(i) * delta);
    }
    out[kSquares][f] = left[kSquares][f] + (right[kSquares][f] + weight * delta * delta);
    out[kMean][f] = left[kMean][f] + delta * part;
    out[kLeast][f] = std::min(left[kLeast][f], right[kLeast][f]);
    out[kMost][f] = std::max(left[kMost][f], right[kMost][f]);
    for (Index j = 0; j < p; ++j) {
      for (Index i = 0; i < p; ++i) {
        const Index q = at.xx(i + j * p);
        out[q][f] = left[q][f] + (right[q][f] + weight * x_step(i) * x_step(j));
      }
    }
    for (Index i = 0; i < p; ++i) out[at.x_mean(i)][f] = left[at.x_mean(i)][f] + x_step(i) * part;
    out[at.count()][f] = here + there;
  }
}

// The moments of features but for what is common to all of them.
void Unpack(Rows<const double> tile, const Layout& at, Moments* moments) {
  const Index p = at.p;
  for (Index f = 0; f < moments->features(); ++f) {
    moments->y_mean[f] = tile[kMean][f];
    moments->yy[f] = tile[kSquares][f];
    moments->y_min[f] = tile[kLeast][f];
    moments->y_max[f] = tile[kMost][f];
    for (Index i = 0; i < p; ++i) moments->xy(i, f) = tile[kProducts + i][f];
    if (!at.per_feature) continue;
    moments->count[f] = tile[at.count()][f];
    for (Index i = 0; i < p; ++i) moments->x_mean(i, f) = tile[at.x_mean(i)][f];
    for (Index ij = 0; ij < p * p; ++ij) moments->xx(ij, f) = tile[at.xx(ij)][f];
  }
}

// The moments that nobody has.
std::vector<double> NobodysTile(const Layout& at) {
  std::vector<double> tile(static_cast<std::size_t>(at.size() * kTileFeatures));
  const Rows<double> rows{tile.data(), kTileFeatures};
  std::fill_n(rows[kLeast], kTileFeatures, kInfinity);
  std::fill_n(rows[kMost], kTileFeatures, -kInfinity);
  return tile;
}

// Where run number `run` lies in an array of so many quantities of all features.
Index RunStart(Index run, Index quantities) { return run * kRunFeatures * quantities; }

Rows<const double> FeaturesIn(const ScratchArray& array, Index quantities, Index run, Index run_count, Index from) {
  return {array.data() + RunStart(run, quantities) + from, run_count};
}

void EvictRun(const ScratchArray& array, Index quantities, Index run, Index run_count) {
  array.Evict(static_cast<std::size_t>(RunStart(run, quantities)), static_cast<std::size_t>(quantities * run_count));
}

// Calls body(from, count) for each tile of a run.
void ForEachTile(Index run_count, absl::FunctionRef<void(Index, Index)> body) {
  for (Index from = 0; from < run_count; from += kTileFeatures) body(from, std::min(kTileFeatures, run_count - from));
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
      y_min(Eigen::ArrayXd::Constant(features, kInfinity)),
      y_max(Eigen::ArrayXd::Constant(features, -kInfinity)) {}

MomentTree::MomentTree(Index p, Index features, bool per_feature, Index first_subject, int threads)
    : p_(p),
      features_(features),
      per_feature_(per_feature),
      threads_(threads),
      next_subject_(first_subject),
      quantities_(Layout{p, per_feature}.size()),
      block_x_(p, kBlockSubjects),
      block_y_(static_cast<std::size_t>((kBlockSubjects - 1) * features)) {}

void MomentTree::ForEachRun(absl::FunctionRef<void(Index, Index)> body) const {
  const Index runs = (features_ + kRunFeatures - 1) / kRunFeatures;
  ParallelFor(static_cast<std::size_t>(runs), threads_, [&](std::size_t i) {
    const auto run = static_cast<Index>(i);
    body(run, std::min(kRunFeatures, features_ - run * kRunFeatures));
  });
}

void MomentTree::Add(std::span<const double> x, std::span<const double> y) {
  assert(static_cast<Index>(x.size()) == p_ && static_cast<Index>(y.size()) == features_);
  std::copy(x.begin(), x.end(), block_x_.data() + in_block_ * p_);
  ++next_subject_;
  if (next_subject_ % kBlockSubjects == 0) return CloseBlock(&y);
  ForEachRun([&](Index run, Index count) {
    const Index start = RunStart(run, kBlockSubjects - 1) + in_block_ * count;
    std::copy_n(y.data() + run * kRunFeatures, count, block_y_.data() + start);
    block_y_.Evict(static_cast<std::size_t>(start), static_cast<std::size_t>(count));
  });
  ++in_block_;
}

// `last`: the block's last subject, whose x is in its place; null when all subjects are in theirs.
void MomentTree::CloseBlock(const std::span<const double>* last) {
  const Index subjects = in_block_ + (last == nullptr ? 0 : 1);
  in_block_ = 0;
  if (subjects == 0) return;
  const Layout layout{p_, per_feature_};
  std::array<Index, kBlockSubjects> everybody;
  for (Index s = 0; s < kBlockSubjects; ++s) everybody[static_cast<std::size_t>(s)] = s;
  Design design{static_cast<double>(subjects), {}, {}};
  std::vector<double> x_centred;
  if (!per_feature_) {
    design.x_mean.resize(static_cast<std::size_t>(p_));
    design.xx.resize(static_cast<std::size_t>(p_ * p_));
    DesignOfBlock(
        block_x_, everybody.data(), subjects, [&](Index i) -> double& { return design.x_mean[static_cast<std::size_t>(i)]; },
        [&](Index ij) -> double& { return design.xx[static_cast<std::size_t>(ij)]; });
    for (Index i = 0; i < p_; ++i) {
      for (Index s = 0; s < subjects; ++s) x_centred.push_back(block_x_(i, s) - design.x_mean[static_cast<std::size_t>(i)]);
    }
  }
  const Index block = (next_subject_ - 1) / kBlockSubjects;
  Push({0, block, std::move(design), {}}, [&](Index run, Index from, Index count, Tile& tile) {
    const Index run_count = std::min(kRunFeatures, features_ - run * kRunFeatures);
    std::array<const double*, kBlockSubjects> y{};
    for (Index s = 0; s < subjects; ++s) {
      y[static_cast<std::size_t>(s)] = block_y_.data() + RunStart(run, kBlockSubjects - 1) + s * run_count + from;
    }
    if (last != nullptr) y[static_cast<std::size_t>(subjects - 1)] = last->data() + run * kRunFeatures + from;
    const Rows<double> out{tile.data(), kTileFeatures};
    if (per_feature_) {
      OwnFeaturesOfBlock(block_x_, y.data(), subjects, count, layout, out);
    } else {
      kFeaturesOfBlock[subjects - 1](y.data(), x_centred.data(), p_, count, out);
    }
    if (from + count == run_count) EvictRun(block_y_, kBlockSubjects - 1, run, run_count);
  });
}

MomentTree::Design MomentTree::MergeDesigns(const Design& left, const Design& right) const {
  Design merged{left.subjects + right.subjects, left.x_mean, left.xx};
  if (per_feature_) return merged;
  const double here = left.subjects;
  const double there = right.subjects;
  const double weight = here * there / (here + there);
  const auto p = static_cast<std::size_t>(p_);
  for (std::size_t j = 0; j < p; ++j) {
    for (std::size_t i = 0; i < p; ++i) {
      merged.xx[i + j * p] +=
          right.xx[i + j * p] + weight * (right.x_mean[i] - left.x_mean[i]) * (right.x_mean[j] - left.x_mean[j]);
    }
  }
  for (std::size_t i = 0; i < p; ++i) merged.x_mean[i] += (right.x_mean[i] - left.x_mean[i]) * (there / (here + there));
  return merged;
}

// `out` = `left` merged with `right`; another tile than both.
void MomentTree::MergeTiles(const Design& left_design, const Design& right_design, FeatureRows<const double> left,
                            FeatureRows<const double> right, Index count, FeatureRows<double> out) const {
  if (per_feature_) return MergeOwnFeatures(left, right, {p_, true}, count, out);
  std::vector<double> x_step(static_cast<std::size_t>(p_));
  for (std::size_t i = 0; i < x_step.size(); ++i) x_step[i] = right_design.x_mean[i] - left_design.x_mean[i];
  MergeFeatures(left, right, left_design.subjects, right_design.subjects, x_step, count, out);
}

// `fill` writes the node's own features of one tile of a run.
void MomentTree::Push(Node&& node, absl::FunctionRef<void(Index, Index, Index, Tile&)> fill) {
  // The nodes that it completes, from the last on, and the design of what each of them is merged with.
  std::size_t kept = nodes_.size();
  std::vector<Design> right_designs;
  for (; kept > 0; --kept) {
    const Node& left = nodes_[kept - 1];
    if (left.level != node.level || left.index % 2 != 0 || left.index + 1 != node.index) break;
    right_designs.push_back(node.design);
    node.design = MergeDesigns(left.design, node.design);
    ++node.level;
    node.index /= 2;
  }
  if (right_designs.empty() && node.features.size() > 0) {
    nodes_.push_back(std::move(node));
    return;
  }
  ScratchArray result;
  if (!right_designs.empty()) {
    result = std::move(nodes_[kept].features);
  } else if (!unused_.empty()) {
    result = std::move(unused_.back());
    unused_.pop_back();
  } else {
    result = ScratchArray(static_cast<std::size_t>(quantities_ * features_));
  }
  const auto features_of = [&](std::size_t k) -> const ScratchArray& { return k == kept ? result : nodes_[k].features; };
  ForEachRun([&](Index run, Index run_count) {
    Tile tile(static_cast<std::size_t>(quantities_ * kTileFeatures));
    Tile merged(tile.size());
    ForEachTile(run_count, [&](Index from, Index count) {
      fill(run, from, count, tile);
      for (std::size_t step = 0; step < right_designs.size(); ++step) {
        const std::size_t k = nodes_.size() - 1 - step;
        MergeTiles(nodes_[k].design, right_designs[step], FeaturesIn(features_of(k), quantities_, run, run_count, from),
                   {tile.data(), kTileFeatures}, count, {merged.data(), kTileFeatures});
        tile.swap(merged);
      }
      const Rows<double> stored{result.data() + RunStart(run, quantities_) + from, run_count};
      for (Index q = 0; q < quantities_; ++q) std::copy_n(tile.data() + q * kTileFeatures, count, stored[q]);
    });
    EvictRun(result, quantities_, run, run_count);
    EvictRun(node.features, quantities_, run, run_count);
    for (std::size_t k = kept; k < nodes_.size(); ++k) EvictRun(nodes_[k].features, quantities_, run, run_count);
  });
  for (std::size_t k = kept + 1; k < nodes_.size(); ++k) unused_.push_back(std::move(nodes_[k].features));
  nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(kept), nodes_.end());
  node.features = std::move(result);
  nodes_.push_back(std::move(node));
}

void MomentTree::Merge(MomentTree&& later) {
  CloseBlock(nullptr);
  later.CloseBlock(nullptr);
  for (Node& node : later.nodes_) {
    const ScratchArray& features = node.features;
    Push(std::move(node), [&](Index run, Index from, Index count, Tile& tile) {
      const Index run_count = std::min(kRunFeatures, features_ - run * kRunFeatures);
      const Rows<const double> rows = FeaturesIn(features, quantities_, run, run_count, from);
      for (Index q = 0; q < quantities_; ++q) std::copy_n(rows[q], count, tile.data() + q * kTileFeatures);
    });
  }
  later.nodes_.clear();
  next_subject_ = later.next_subject_;
}

void MomentTree::Finish(absl::FunctionRef<void(Index, const Moments&)> use) && {
  CloseBlock(nullptr);
  block_y_ = ScratchArray();
  unused_.clear();
  const Layout layout{p_, per_feature_};
  std::vector<Design> designs(1);  // of nobody, of the first node, of the first two, ...
  designs[0].x_mean.resize(static_cast<std::size_t>(per_feature_ ? 0 : p_));
  designs[0].xx.resize(static_cast<std::size_t>(per_feature_ ? 0 : p_ * p_));
  for (const Node& node : nodes_) designs.push_back(MergeDesigns(designs.back(), node.design));
  const Design& all = designs.back();
  ForEachRun([&](Index run, Index run_count) {
    Tile merged(static_cast<std::size_t>(quantities_ * kTileFeatures));
    const Tile nobody = NobodysTile(layout);
    Tile tile;
    ForEachTile(run_count, [&](Index from, Index count) {
      tile = nobody;
      for (std::size_t k = 0; k < nodes_.size(); ++k) {
        MergeTiles(designs[k], nodes_[k].design, {tile.data(), kTileFeatures},
                   FeaturesIn(nodes_[k].features, quantities_, run, run_count, from), count, {merged.data(), kTileFeatures});
        tile.swap(merged);
      }
      Moments moments(p_, count, per_feature_);
      moments.subjects = all.subjects;
      if (!per_feature_) {
        moments.count[0] = all.subjects;
        std::copy(all.x_mean.begin(), all.x_mean.end(), moments.x_mean.data());
        std::copy(all.xx.begin(), all.xx.end(), moments.xx.data());
      }
      Unpack({tile.data(), kTileFeatures}, layout, &moments);
      use(run * kRunFeatures + from, moments);
    });
    for (const Node& node : nodes_) EvictRun(node.features, quantities_, run, run_count);
  });
  nodes_.clear();
}

}  // namespace attune

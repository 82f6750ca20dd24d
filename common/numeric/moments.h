// SPDX-License-Identifier: Apache-2.0
//
// Counts, means and centred second moments of covariates x (p) and features y (F) over a group of subjects, merged by the
// formula of Chan, Golub & LeVeque (1979): a mean of 1e7 standard deviations loses no digit that matters.
//
// Same bytes whatever the threads and shards: subjects are taken in blocks of kBlockSubjects, each centred on its own mean, and
// blocks are merged only with their sibling in one fixed binary tree over the block numbers. Sums are written as loops in a
// fixed order, never as Eigen reductions, whose order depends on the alignment of memory.
#ifndef ATTUNE_COMMON_NUMERIC_MOMENTS_H_
#define ATTUNE_COMMON_NUMERIC_MOMENTS_H_

#include <Eigen/Core>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/scratch_array.h"

namespace attune {

// Subjects per leaf of the tree. Part of the arithmetic: another number changes the last bits of every result.
inline constexpr Eigen::Index kBlockSubjects = 8;

// Plain data; columns are features. With `per_feature` every feature has its own count, mean and scatter of x, over the
// subjects in whom that feature is present; else these have one column, common to all features.
struct Moments {
  Moments(Eigen::Index p, Eigen::Index features, bool per_feature);

  Eigen::Index p() const { return x_mean.rows(); }
  Eigen::Index features() const { return y_mean.size(); }
  bool per_feature;
  // The column of count, x_mean and xx that belongs to a feature.
  Eigen::Index DesignColumn(Eigen::Index feature) const { return per_feature ? feature : 0; }

  double subjects = 0;     // all subjects, with or without missing values
  Eigen::ArrayXd count;    // 1 or F
  Eigen::ArrayXXd x_mean;  // p x (1 or F)
  Eigen::ArrayXXd xx;      // p*p x (1 or F): each column a p x p matrix, column by column
  Eigen::ArrayXd y_mean;   // F
  Eigen::ArrayXXd xy;      // p x F
  Eigen::ArrayXd yy;       // F
  Eigen::ArrayXd y_min;    // F; +inf when nothing is present
  Eigen::ArrayXd y_max;    // F; -inf when nothing is present
};

// Quantities of consecutive features: quantity q of feature f is at data[q * stride + f].
template <typename T>
struct FeatureRows {
  T* data;
  Eigen::Index stride;
  T* operator[](Eigen::Index quantity) const { return data + quantity * stride; }
};

// Collects subjects one by one. Not thread-safe; uses up to `threads` threads of its own, which split the features.
// A block of subjects and 8 F (p + 4) bytes for each level of the tree in use lie in scratch files where they are large
// (without per_feature); in memory is only what is being worked on, whatever the number of subjects.
class MomentTree {
 public:
  // `first_subject`: where the first subject stands in the whole sequence (moments of shards; see above).
  MomentTree(Eigen::Index p, Eigen::Index features, bool per_feature, Eigen::Index first_subject, int threads);

  // x: p finite values. y: F values; NaN is missing and allowed only with per_feature.
  void Add(std::span<const double> x, std::span<const double> y);

  // Takes in the subjects that follow. `later` must have the same shape.
  void Merge(MomentTree&& later);

  // Calls use(first, moments) once for each of the tiles that make up the features: `moments` are those of all subjects taken
  // in, for the features [first, first + moments.features()). Tiles come on several threads and in any order. Consumes the
  // tree.
  void Finish(absl::FunctionRef<void(Eigen::Index first, const Moments& moments)> use) &&;

 private:
  // What is common to all features of a group: its size and, without per_feature, the design's moments.
  struct Design {
    double subjects = 0;
    std::vector<double> x_mean;  // p
    std::vector<double> xx;      // p*p
  };
  struct Node {
    int level;           // covers 2^level blocks
    Eigen::Index index;  // from block index * 2^level on
    Design design;
    ScratchArray features;  // run after run, in each quantity after quantity (see moments.cc)
  };
  using Tile = std::vector<double>;  // some features of a node, likewise quantity after quantity

  void ForEachRun(absl::FunctionRef<void(Eigen::Index run, Eigen::Index count)> body) const;
  void CloseBlock(const std::span<const double>* last);
  void Push(Node&& node, absl::FunctionRef<void(Eigen::Index run, Eigen::Index from, Eigen::Index count, Tile&)> fill);
  Design MergeDesigns(const Design& left, const Design& right) const;
  void MergeTiles(const Design& left_design, const Design& right_design, FeatureRows<const double> left,
                  FeatureRows<const double> right, Eigen::Index count, FeatureRows<double> out) const;

  Eigen::Index p_;
  Eigen::Index features_;
  bool per_feature_;
  int threads_;
  Eigen::Index next_subject_;
  Eigen::Index in_block_ = 0;
  Eigen::Index quantities_;           // of a node
  Eigen::MatrixXd block_x_;           // p x kBlockSubjects
  ScratchArray block_y_;              // all subjects of a block but the last, which is taken where it is; run after run
  std::vector<Node> nodes_;           // disjoint, in order; no two are siblings
  std::vector<ScratchArray> unused_;  // of nodes that were merged into others
};

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_MOMENTS_H_

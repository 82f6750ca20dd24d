// SPDX-License-Identifier: Apache-2.0
//
// Forms and what fills them. The coordinator asks by sending an empty form; each site fills it from its own subjects; filled
// forms add up (docs/concepts.md).
#ifndef ATTUNE_COMMON_KERNEL_BLOCKS_H_
#define ATTUNE_COMMON_KERNEL_BLOCKS_H_

#include <Eigen/Core>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/scratch_array.h"

namespace attune {

// What the entries of a block are. The disclosure gate and secure aggregation treat kinds differently.
enum class BlockKind {
  kSum = 0,        // real-valued sums over subjects
  kCount = 1,      // whole numbers of subjects or of batches
  kHistogram = 2,  // counts of subjects per bin
};

// One named matrix of a form. Columns are features where the block is per feature; either side may be 0.
struct BlockSpec {
  std::string name;
  BlockKind kind = BlockKind::kSum;
  Eigen::Index rows = 0;
  Eigen::Index cols = 0;
  // Fixed point under secure aggregation: the last bit of an entry is worth 2^resolution_log2.
  int resolution_log2 = -60;

  bool operator==(const BlockSpec&) const = default;
};

// An empty form: which blocks, in which order. Two forms are compatible only when they are equal.
using Form = std::vector<BlockSpec>;

// A form with values: the filled form of a batch ("summary"), a sum of them, the parts of a correction, a batch's model.
// Under Add a commutative monoid with Zero(form) as unit (tests/laws). The values are one run of doubles, block after block,
// each column by column; they are owned, or a view of a mapped file, which is copied at the first write. Copies share nothing.
// Thread-compatible.
class Blocks {
 public:
  Blocks() = default;  // the empty form

  static Blocks Zero(Form form);

  // A view of `values`, kept alive by `owner`. Fails with InvalidArgument when their number is not that of the form.
  static absl::StatusOr<Blocks> View(Form form, std::span<const double> values, std::shared_ptr<const void> owner);

  const Form& form() const { return form_; }
  std::span<const double> values() const;
  std::span<double> MutableValues();

  bool Has(absl::string_view name) const;
  // The block `name`, rows x cols. The block must exist: Has, or a form that was compared before.
  Eigen::Map<const Eigen::MatrixXd> operator[](absl::string_view name) const;
  Eigen::Map<Eigen::MatrixXd> Mutable(absl::string_view name);

  // Adds entry by entry. Fails with InvalidArgument, changing nothing, when the forms differ (saying in what) or when an entry
  // of `other` is not finite (naming the block).
  absl::Status Add(const Blocks& other);

  // Fails with InvalidArgument naming the first block that holds a NaN or an infinity.
  absl::Status CheckFinite() const;

 private:
  Eigen::Index OffsetOf(absl::string_view name, const BlockSpec** spec) const;

  Form form_;
  ScratchArray owned_;
  std::span<const double> view_;
  std::shared_ptr<const void> owner_;
};

// A filled form.
using Summary = Blocks;

// How two forms differ, in words ("block 'xy' is 3 x 68 here and 3 x 70 there"); empty when they are equal.
std::string DescribeDifference(const Form& here, const Form& there);

// The number of doubles of a form. Fails with InvalidArgument when a side is negative, a name is repeated or empty, or the
// total exceeds `max_entries` (so that a hostile form takes no memory).
absl::StatusOr<std::size_t> CheckedSize(const Form& form, std::size_t max_entries);

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_BLOCKS_H_

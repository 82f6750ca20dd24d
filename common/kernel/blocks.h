// SPDX-License-Identifier: Apache-2.0
//
// Forms and what fills them. The coordinator asks by sending an empty form; each site fills it from its own subjects; filled
// forms add up (docs/concepts.md).
#ifndef ATTUNE_COMMON_KERNEL_BLOCKS_H_
#define ATTUNE_COMMON_KERNEL_BLOCKS_H_

#include <Eigen/Core>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/mapped_file.h"
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

// The number of bytes of a block's values in a file: doubles or, packed, bits, filled up to a multiple of 8 bytes.
std::size_t BytesOf(const BlockSpec& spec, bool packed);

// A form with values: the filled form of a batch ("summary"), a sum of them, the parts of a correction, a batch's model.
// Under Add a commutative monoid with Zero(form) as unit (tests/laws). The values are one run of doubles, block after block,
// each column by column; they are owned, or a view of a mapped file, which is copied at the first write. In a view, blocks may
// be packed: flags that lie there as bits, and are read by Entries and Columns. Copies share nothing but the file.
// Thread-compatible.
class Blocks {
 public:
  Blocks() = default;  // the empty form

  static Blocks Zero(Form form);

  // A view of `bytes`, which are of `file`, on a multiple of 8 bytes. `packed`: for each block whether it is bits, the least of
  // a byte first; empty: none is. Fails with InvalidArgument when the number of bytes is not that of the form.
  static absl::StatusOr<Blocks> View(Form form, std::vector<bool> packed, absl::string_view bytes,
                                     std::shared_ptr<const MappedFile> file);

  const Form& form() const { return form_; }

  bool AnyPacked() const;
  bool IsPacked(std::size_t block) const { return block < packed_.size() && packed_[block]; }
  // The same values as one run of doubles. A view without packed blocks stays one.
  Blocks Unpacked() const;

  // All values. None may be packed.
  std::span<const double> values() const;
  std::span<double> MutableValues();

  bool Has(absl::string_view name) const;
  // The block `name`, rows x cols. The block must exist (Has, or a form that was compared before) and not be packed.
  Eigen::Map<const Eigen::MatrixXd> operator[](absl::string_view name) const;
  Eigen::Map<Eigen::MatrixXd> Mutable(absl::string_view name);

  // Copies of the entries [first, first + out.size()) of block number `block`, and of the columns [first, first + count) of the
  // block `name`, packed or not.
  void Entries(std::size_t block, std::size_t first, std::span<double> out) const;
  Eigen::MatrixXd Columns(absl::string_view name, Eigen::Index first, Eigen::Index count) const;

  // Adds the entries [first, first + sum.size()) of block number `block` to `sum`, packed or not. Looks at no value: what is
  // not finite makes the sum so.
  void AddEntriesTo(std::size_t block, std::size_t first, std::span<double> sum) const;

  // Adds entry by entry. Fails with InvalidArgument, changing nothing, when the forms differ (saying in what) or when an entry
  // of `other` is not finite (naming the block).
  absl::Status Add(const Blocks& other);

  // Fails with InvalidArgument naming the first block that holds a NaN or an infinity.
  absl::Status CheckFinite() const;

  // Lets go of the memory that values in a file take; touched again, they come from the file. Values stay as they are.
  void Evict() const;

 private:
  // Where the values of a block begin.
  const char* DataOf(std::size_t block) const;
  // form_.size() when there is none of this name.
  std::size_t NumberOf(absl::string_view name) const;

  Form form_;
  ScratchArray owned_;
  absl::string_view view_;
  std::vector<bool> packed_;                // of a view's blocks; empty: none
  std::shared_ptr<const MappedFile> file_;  // null: owned
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

// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {
namespace {

std::size_t SizeOf(const BlockSpec& spec) { return static_cast<std::size_t>(spec.rows * spec.cols); }

constexpr std::size_t kBitsPerWord = 64;

// Touching one page of a file maps its neighbours too, at most those that share a page table with it: so many bytes.
constexpr std::size_t kMapAroundBytes = std::size_t{2} << 20;

double Bit(const std::uint8_t* bits, std::size_t i) { return static_cast<double>((bits[i / 8] >> (i % 8)) & 1); }

}  // namespace

std::size_t BytesOf(const BlockSpec& spec, bool packed) {
  return (packed ? (SizeOf(spec) + kBitsPerWord - 1) / kBitsPerWord : SizeOf(spec)) * sizeof(double);
}

Blocks Blocks::Zero(Form form) {
  Blocks blocks;
  std::size_t size = 0;
  for (const BlockSpec& spec : form) size += SizeOf(spec);
  blocks.form_ = std::move(form);
  blocks.owned_ = ScratchArray(size);
  return blocks;
}

absl::StatusOr<Blocks> Blocks::View(Form form, std::vector<bool> packed, absl::string_view bytes,
                                    std::shared_ptr<const MappedFile> file) {
  // A packed block has 64 times as many entries as words.
  ATTUNE_RETURN_IF_ERROR(CheckedSize(form, bytes.size() * 8).status());
  Blocks blocks;
  blocks.form_ = std::move(form);
  blocks.packed_ = std::move(packed);
  std::size_t size = 0;
  for (std::size_t k = 0; k < blocks.form_.size(); ++k) size += BytesOf(blocks.form_[k], blocks.IsPacked(k));
  if (size != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a form of ", size, " bytes was given ", bytes.size()));
  }
  blocks.view_ = bytes;
  blocks.file_ = std::move(file);
  return blocks;
}

bool Blocks::AnyPacked() const { return std::find(packed_.begin(), packed_.end(), true) != packed_.end(); }

Blocks Blocks::Unpacked() const {
  if (!AnyPacked()) return *this;
  Blocks unpacked = Zero(form_);
  std::span<double> rest = unpacked.owned_;
  for (std::size_t k = 0; k < form_.size(); ++k) {
    Entries(k, 0, rest.first(SizeOf(form_[k])));
    rest = rest.subspan(SizeOf(form_[k]));
  }
  return unpacked;
}

std::span<const double> Blocks::values() const {
  assert(!AnyPacked() && "packed blocks are no doubles");
  if (file_ == nullptr) return owned_;
  return {reinterpret_cast<const double*>(view_.data()), view_.size() / sizeof(double)};
}

std::span<double> Blocks::MutableValues() {
  if (file_ != nullptr) {
    if (AnyPacked()) {
      *this = Unpacked();
    } else {
      owned_ = ScratchArray(values());
      view_ = {};
      file_.reset();
    }
  }
  return owned_;
}

std::size_t Blocks::NumberOf(absl::string_view name) const {
  const auto found = std::find_if(form_.begin(), form_.end(), [&](const BlockSpec& spec) { return spec.name == name; });
  return static_cast<std::size_t>(found - form_.begin());
}

const char* Blocks::DataOf(std::size_t block) const {
  const char* data = file_ != nullptr ? view_.data() : reinterpret_cast<const char*>(owned_.data());
  for (std::size_t k = 0; k < block; ++k) data += BytesOf(form_[k], IsPacked(k));
  return data;
}

bool Blocks::Has(absl::string_view name) const { return NumberOf(name) < form_.size(); }

Eigen::Map<const Eigen::MatrixXd> Blocks::operator[](absl::string_view name) const {
  const std::size_t block = NumberOf(name);
  assert(block < form_.size() && "no such block");
  assert(!IsPacked(block) && "packed blocks are no doubles");
  return {reinterpret_cast<const double*>(DataOf(block)), form_[block].rows, form_[block].cols};
}

Eigen::Map<Eigen::MatrixXd> Blocks::Mutable(absl::string_view name) {
  double* const values = MutableValues().data();
  const Eigen::Map<const Eigen::MatrixXd> block = (*this)[name];
  return {values + (block.data() - values), block.rows(), block.cols()};
}

void Blocks::Entries(std::size_t block, std::size_t first, std::span<double> out) const {
  if (!IsPacked(block)) {
    const double* const values = reinterpret_cast<const double*>(DataOf(block)) + first;
    std::copy(values, values + out.size(), out.begin());
    return;
  }
  const auto* const bits = reinterpret_cast<const std::uint8_t*>(DataOf(block));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = Bit(bits, first + i);
}

Eigen::MatrixXd Blocks::Columns(absl::string_view name, Eigen::Index first, Eigen::Index count) const {
  const std::size_t block = NumberOf(name);
  assert(block < form_.size() && "no such block");
  Eigen::MatrixXd columns(form_[block].rows, count);
  Entries(block, static_cast<std::size_t>(first * columns.rows()), {columns.data(), static_cast<std::size_t>(columns.size())});
  return columns;
}

void Blocks::AddEntriesTo(std::size_t block, std::size_t first, std::span<double> sum) const {
  const auto of = [&sum](std::size_t i, std::size_t count) {
    return Eigen::Map<Eigen::ArrayXd>(sum.data() + i, static_cast<Eigen::Index>(count));
  };
  if (!IsPacked(block)) {
    const double* const values = reinterpret_cast<const double*>(DataOf(block)) + first;
    of(0, sum.size()) += Eigen::Map<const Eigen::ArrayXd>(values, static_cast<Eigen::Index>(sum.size()));
    return;
  }
  const auto* const bits = reinterpret_cast<const std::uint8_t*>(DataOf(block));
  for (std::size_t i = 0; i < sum.size();) {
    std::uint64_t word = 1;
    // Flags are rarely set.
    const bool whole = (first + i) % kBitsPerWord == 0 && sum.size() - i >= kBitsPerWord;
    if (whole) std::memcpy(&word, bits + (first + i) / 8, sizeof(word));
    if (word == 0) {
      of(i, kBitsPerWord) += 0.0;
      i += kBitsPerWord;
      continue;
    }
    for (const std::size_t end = whole ? i + kBitsPerWord : i + 1; i < end; ++i) sum[i] += Bit(bits, first + i);
  }
}

absl::Status Blocks::CheckFinite() const {
  for (std::size_t k = 0; k < form_.size(); ++k) {
    if (IsPacked(k)) continue;
    const auto* const values = reinterpret_cast<const double*>(DataOf(k));
    if (!std::all_of(values, values + SizeOf(form_[k]), [](double v) { return std::isfinite(v); })) {
      return absl::InvalidArgumentError(absl::StrCat("block '", form_[k].name, "' holds a value that is not finite"));
    }
  }
  return absl::OkStatus();
}

absl::Status Blocks::Add(const Blocks& other) {
  if (form_ != other.form_) {
    return absl::InvalidArgumentError(absl::StrCat("forms differ: ", DescribeDifference(form_, other.form_)));
  }
  ATTUNE_RETURN_IF_ERROR(other.CheckFinite());
  std::span<double> rest = MutableValues();  // `other` may be this one: from here on it is no view either
  for (std::size_t k = 0; k < form_.size(); ++k) {
    other.AddEntriesTo(k, 0, rest.first(SizeOf(form_[k])));
    rest = rest.subspan(SizeOf(form_[k]));
  }
  return absl::OkStatus();
}

void Blocks::Evict() const {
  owned_.Evict();
  if (file_ == nullptr) return;
  const auto begin = static_cast<std::size_t>(view_.data() - file_->bytes().data());
  const std::size_t from = begin - std::min(begin, kMapAroundBytes);
  file_->Evict(file_->bytes().substr(from, begin - from + view_.size() + kMapAroundBytes));
}

std::string DescribeDifference(const Form& here, const Form& there) {
  for (std::size_t i = 0; i < std::max(here.size(), there.size()); ++i) {
    if (i >= here.size()) return absl::StrCat("block '", there[i].name, "' exists only there");
    if (i >= there.size()) return absl::StrCat("block '", here[i].name, "' exists only here");
    if (here[i] == there[i]) continue;
    if (here[i].name != there[i].name) {
      return absl::StrCat("block ", i, " is '", here[i].name, "' here and '", there[i].name, "' there");
    }
    return absl::StrCat("block '", here[i].name, "' is ", here[i].rows, " x ", here[i].cols, " (kind ",
                        static_cast<int>(here[i].kind), ", resolution 2^", here[i].resolution_log2, ") here and ",
                        there[i].rows, " x ", there[i].cols, " (kind ", static_cast<int>(there[i].kind), ", resolution 2^",
                        there[i].resolution_log2, ") there");
  }
  return "";
}

absl::StatusOr<std::size_t> CheckedSize(const Form& form, std::size_t max_entries) {
  std::set<absl::string_view> names;
  std::size_t total = 0;
  for (const BlockSpec& spec : form) {
    if (spec.name.empty() || !names.insert(spec.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("block name '", spec.name, "' is empty or repeated"));
    }
    if (spec.rows < 0 || spec.cols < 0) {
      return absl::InvalidArgumentError(absl::StrCat("block '", spec.name, "' has a negative side"));
    }
    const auto rows = static_cast<std::size_t>(spec.rows);
    const auto cols = static_cast<std::size_t>(spec.cols);
    if (rows != 0 && cols > (max_entries - total) / rows) {
      return absl::InvalidArgumentError(absl::StrCat("the form has more than ", max_entries, " entries"));
    }
    total += rows * cols;
  }
  return total;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {
namespace {

std::size_t SizeOf(const BlockSpec& spec) { return static_cast<std::size_t>(spec.rows * spec.cols); }

}  // namespace

Blocks Blocks::Zero(Form form) {
  Blocks blocks;
  std::size_t size = 0;
  for (const BlockSpec& spec : form) size += SizeOf(spec);
  blocks.form_ = std::move(form);
  blocks.owned_ = ScratchArray(size);
  return blocks;
}

absl::StatusOr<Blocks> Blocks::View(Form form, std::span<const double> values, std::shared_ptr<const void> owner) {
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t size, CheckedSize(form, values.size()));
  if (size != values.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a form of ", size, " entries was given ", values.size(), " values"));
  }
  Blocks blocks;
  blocks.form_ = std::move(form);
  blocks.view_ = values;
  blocks.owner_ = std::move(owner);
  return blocks;
}

std::span<const double> Blocks::values() const { return owner_ != nullptr ? view_ : std::span<const double>(owned_); }

Eigen::Index Blocks::OffsetOf(absl::string_view name, const BlockSpec** spec) const {
  Eigen::Index offset = 0;
  for (const BlockSpec& candidate : form_) {
    if (candidate.name == name) {
      *spec = &candidate;
      return offset;
    }
    offset += candidate.rows * candidate.cols;
  }
  *spec = nullptr;
  return offset;
}

bool Blocks::Has(absl::string_view name) const {
  const BlockSpec* spec = nullptr;
  OffsetOf(name, &spec);
  return spec != nullptr;
}

Eigen::Map<const Eigen::MatrixXd> Blocks::operator[](absl::string_view name) const {
  const BlockSpec* spec = nullptr;
  const Eigen::Index offset = OffsetOf(name, &spec);
  assert(spec != nullptr && "no such block");
  return {values().data() + offset, spec->rows, spec->cols};
}

std::span<double> Blocks::MutableValues() {
  if (owner_ != nullptr) {
    owned_ = ScratchArray(view_);
    view_ = {};
    owner_.reset();
  }
  return owned_;
}

Eigen::Map<Eigen::MatrixXd> Blocks::Mutable(absl::string_view name) {
  double* const values = MutableValues().data();
  const BlockSpec* spec = nullptr;
  const Eigen::Index offset = OffsetOf(name, &spec);
  assert(spec != nullptr && "no such block");
  return {values + offset, spec->rows, spec->cols};
}

absl::Status Blocks::CheckFinite() const {
  const double* value = values().data();
  for (const BlockSpec& spec : form_) {
    const double* end = value + SizeOf(spec);
    if (!std::all_of(value, end, [](double v) { return std::isfinite(v); })) {
      return absl::InvalidArgumentError(absl::StrCat("block '", spec.name, "' holds a value that is not finite"));
    }
    value = end;
  }
  return absl::OkStatus();
}

absl::Status Blocks::Add(const Blocks& other) {
  if (form_ != other.form_) {
    return absl::InvalidArgumentError(absl::StrCat("forms differ: ", DescribeDifference(form_, other.form_)));
  }
  ATTUNE_RETURN_IF_ERROR(other.CheckFinite());
  if (owner_ != nullptr) {
    owned_ = ScratchArray(view_);
    view_ = {};
    owner_.reset();
  }
  const std::span<const double> theirs = other.values();  // not before: `other` may be this one
  for (std::size_t i = 0; i < theirs.size(); ++i) owned_[i] += theirs[i];
  return absl::OkStatus();
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

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/bundle_file.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/status.h"
#include "common/wire/canonical.h"
#include "common/wire/names.h"

namespace attune {
namespace {

static_assert(std::endian::native == std::endian::little && std::numeric_limits<double>::is_iec559,
              "bundles hold little-endian IEEE 754 values, which are mapped as they are");

constexpr absl::string_view kMagic("ATTUNE\0\2", 8);
constexpr std::size_t kPrefixBytes = 16;  // the magic and the header's size
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 16;
constexpr std::size_t kWordBits = 64;
constexpr std::size_t kPieceEntries = std::size_t{1} << 13;  // of bits: whole words
// Powers of two that a double can be.
constexpr int kLeastResolution = -1074;
constexpr int kMostResolution = 1023;

std::size_t DataOffset(std::size_t header_bytes) {
  return (kPrefixBytes + header_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Writes and digests in pieces: no second copy of the values in memory.
class DigestingWriter {
 public:
  explicit DigestingWriter(AtomicFile* file) : file_(file) {}
  void Write(absl::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceBytes))) {
      const absl::string_view piece = bytes.substr(0, kPieceBytes);
      file_->Write(piece);
      sha_.Update(piece);
    }
  }
  std::string Digest() && { return std::move(sha_).Finish(); }

 private:
  AtomicFile* file_;  // not owned
  Sha256 sha_;
};

absl::StatusOr<v1::BundleHeader> ParseHeader(absl::string_view bytes, std::size_t max_header_bytes) {
  if (bytes.size() < kPrefixBytes) return absl::DataLossError("too short for a bundle");
  if (bytes.substr(0, kMagic.size()) != kMagic) return absl::DataLossError("not a bundle of format version 2");
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data() + kMagic.size(), sizeof(size));
  if (size > max_header_bytes || size > bytes.size() - kPrefixBytes)
    return absl::DataLossError("truncated, or its header is too large");
  const absl::string_view encoded = bytes.substr(kPrefixBytes, size);
  v1::BundleHeader header;
  if (!ParseBytes(encoded, &header)) return absl::DataLossError("its header is not readable");
  if (!IsCanonical(header, encoded)) return absl::DataLossError("its header is not canonical");
  return header;
}

// Whether a block of an answer is written as bits.
bool MayPack(const BlockSpec& spec) { return spec.kind == BlockKind::kCount && spec.rows * spec.cols > 1; }
bool AreFlags(const Blocks& blocks, std::size_t block) {
  if (!MayPack(blocks.form()[block])) return false;
  if (blocks.IsPacked(block)) return true;
  const auto values = blocks[blocks.form()[block].name];
  return std::all_of(values.data(), values.data() + values.size(), [](double v) { return v == 0 || v == 1; });
}

// The values of a block as bits, in pieces.
void WritePacked(const Blocks& blocks, std::size_t block, const ByteSink& sink) {
  const std::size_t size = BytesOf(blocks.form()[block], false) / sizeof(double);
  std::vector<double> values;
  for (std::size_t first = 0; first < size; first += kPieceEntries) {
    values.resize(std::min(kPieceEntries, size - first));
    blocks.Entries(block, first, values);
    std::string bits((values.size() + kWordBits - 1) / kWordBits * sizeof(double), '\0');
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] == 1) bits[i / 8] = static_cast<char>(bits[i / 8] | (1 << (i % 8)));
    }
    sink(bits);
  }
}

// Which blocks of a part are bits, as its header says.
absl::StatusOr<std::vector<bool>> PackedOf(const v1::Part& part, const Form& form, v1::BundleKind kind) {
  std::vector<bool> packed(form.size());
  if (part.packed_size() > 0 && kind != v1::BUNDLE_KIND_ANSWER) {
    return absl::InvalidArgumentError("it has blocks that are bits, as only an answer may");
  }
  std::uint32_t least = 0;
  for (const std::uint32_t block : part.packed()) {
    if (block < least || block >= form.size() || !MayPack(form[block])) {
      return absl::InvalidArgumentError("its blocks that are bits are not in order, or cannot be bits");
    }
    packed[block] = true;
    least = block + 1;
  }
  return packed;
}

// One content, one sequence of bytes: flags are bits, and bits behind the last are 0. The values are finite.
absl::Status CheckPacking(const Blocks& blocks, const BundleBytes& bundle, absl::string_view bytes) {
  for (std::size_t k = 0; k < blocks.form().size(); ++k) {
    const BlockSpec& spec = blocks.form()[k];
    const absl::string_view own = bytes.substr(0, BytesOf(spec, blocks.IsPacked(k)));
    bytes.remove_prefix(own.size());
    if (!blocks.IsPacked(k)) {
      if (bundle.header.kind() != v1::BUNDLE_KIND_ANSWER || !AreFlags(blocks, k)) continue;
      return absl::DataLossError(
          absl::StrCat("not canonical: block '", spec.name, "' holds only 0 and 1, and is not written as bits"));
    }
    const auto entries = static_cast<std::size_t>(spec.rows * spec.cols);
    const bool last_is_clean = entries % 8 == 0 || static_cast<unsigned char>(own[entries / 8]) >> (entries % 8) == 0;
    const absl::string_view padding = own.substr((entries + 7) / 8);
    if (!last_is_clean || std::any_of(padding.begin(), padding.end(), [](char c) { return c != 0; })) {
      return absl::DataLossError(absl::StrCat("not canonical: the bits behind block '", spec.name, "' are not zero"));
    }
  }
  return absl::OkStatus();
}

// The parts as views of the file. `file` keeps them alive.
absl::StatusOr<std::map<std::string, Blocks>> MapParts(const BundleBytes& bundle, BundleValues values) {
  const v1::BundleHeader& header = bundle.header;
  absl::string_view bytes = bundle.values;
  std::map<std::string, Blocks> parts;
  for (const v1::Part& part : header.parts()) {
    if (!IsOneLine(part.name()) || (!parts.empty() && parts.rbegin()->first >= part.name())) {
      return absl::InvalidArgumentError("its parts are not sorted by name, or repeated");
    }
    ATTUNE_ASSIGN_OR_RETURN(Form form, FormFromProto(part.form(), kMaxFormEntries));
    ATTUNE_ASSIGN_OR_RETURN(std::vector<bool> packed, PackedOf(part, form, header.kind()));
    std::size_t size = 0;
    for (std::size_t k = 0; k < form.size(); ++k) size += BytesOf(form[k], packed[k]);
    if (size > bytes.size()) return absl::DataLossError("truncated: it has fewer values than its header says");
    const absl::string_view own = bytes.substr(0, size);
    bytes.remove_prefix(size);
    ATTUNE_ASSIGN_OR_RETURN(Blocks blocks, Blocks::View(std::move(form), std::move(packed), own, bundle.file));
    if (values == BundleValues::kChecked) {
      absl::Status status = blocks.CheckFinite();
      if (status.ok()) status = CheckPacking(blocks, bundle, own);
      if (!status.ok()) return WithContext(status, absl::StrCat("part '", part.name(), "'"));
    }
    parts.emplace_hint(parts.end(), part.name(), std::move(blocks));
  }
  if (!bytes.empty()) return absl::DataLossError("too long: it has more values than its header says");
  return parts;
}

}  // namespace

void FormToProto(const Form& form, google::protobuf::RepeatedPtrField<v1::Block>* blocks) {
  for (const BlockSpec& spec : form) {
    v1::Block* block = blocks->Add();
    block->set_name(spec.name);
    block->set_kind(static_cast<v1::BlockKind>(spec.kind));
    block->set_rows(static_cast<std::uint64_t>(spec.rows));
    block->set_cols(static_cast<std::uint64_t>(spec.cols));
    block->set_resolution_log2(spec.resolution_log2);
  }
}

absl::StatusOr<Form> FormFromProto(const google::protobuf::RepeatedPtrField<v1::Block>& blocks, std::size_t max_entries) {
  Form form;
  form.reserve(static_cast<std::size_t>(blocks.size()));
  for (const v1::Block& block : blocks) {
    if (!v1::BlockKind_IsValid(block.kind())) {
      return absl::InvalidArgumentError(absl::StrCat("block '", block.name(), "' is of an unknown kind"));
    }
    // Each side by itself too: beside a side of 0 the other could be anything.
    if (block.rows() > kMaxFormEntries || block.cols() > kMaxFormEntries) {
      return absl::InvalidArgumentError(absl::StrCat("block '", block.name(), "' has a side above ", kMaxFormEntries));
    }
    if (block.resolution_log2() < kLeastResolution || block.resolution_log2() > kMostResolution) {
      return absl::InvalidArgumentError(absl::StrCat("block '", block.name(), "' has the resolution 2^",
                                                     block.resolution_log2(), ", expected 2^", kLeastResolution, " to 2^",
                                                     kMostResolution));
    }
    form.push_back({.name = block.name(),
                    .kind = static_cast<BlockKind>(block.kind()),
                    .rows = static_cast<Eigen::Index>(block.rows()),
                    .cols = static_cast<Eigen::Index>(block.cols()),
                    .resolution_log2 = block.resolution_log2()});
  }
  ATTUNE_RETURN_IF_ERROR(CheckedSize(form, max_entries).status());
  return form;
}

absl::StatusOr<std::string> WriteBundleBytes(const std::string& path, const v1::BundleHeader& header,
                                             absl::FunctionRef<absl::Status(const ByteSink&)> write_values) {
  const std::string encoded = DeterministicBytes(header);
  if (encoded.size() > kMaxBundleHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the header of a bundle would have ", encoded.size(),
                                                   " bytes, more than the limit of ", kMaxBundleHeaderBytes));
  }
  const std::uint64_t size = encoded.size();
  char size_bytes[sizeof(size)];
  std::memcpy(size_bytes, &size, sizeof(size));

  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, FileAccess::kOwnerOnly));
  DigestingWriter writer(&file);
  writer.Write(kMagic);
  writer.Write({size_bytes, sizeof(size_bytes)});
  writer.Write(encoded);
  writer.Write(std::string(DataOffset(encoded.size()) - kPrefixBytes - encoded.size(), '\0'));
  ATTUNE_RETURN_IF_ERROR(write_values([&](absl::string_view bytes) { writer.Write(bytes); }));
  std::string digest = std::move(writer).Digest();
  ATTUNE_RETURN_IF_ERROR(std::move(file).Commit());
  return digest;
}

absl::StatusOr<std::string> WriteBundleFile(const std::string& path, v1::BundleHeader header, const BlocksByName& parts) {
  const bool is_answer = header.kind() == v1::BUNDLE_KIND_ANSWER;
  for (const auto& [name, blocks] : parts) {
    if (const absl::Status status = blocks->CheckFinite(); !status.ok())
      return WithContext(status, absl::StrCat("part '", name, "'"));
    v1::Part* part = header.add_parts();
    part->set_name(name);
    FormToProto(blocks->form(), part->mutable_form());
    for (std::size_t k = 0; is_answer && k < blocks->form().size(); ++k) {
      if (AreFlags(*blocks, k)) part->add_packed(static_cast<std::uint32_t>(k));
    }
    blocks->Evict();
  }
  return WriteBundleBytes(path, header, [&](const ByteSink& sink) {
    int number = 0;
    for (const auto& [name, blocks] : parts) {
      const v1::Part& part = header.parts(number++);
      auto packed = part.packed().begin();
      for (std::size_t k = 0; k < blocks->form().size(); ++k) {
        if (packed != part.packed().end() && *packed == k) {
          WritePacked(*blocks, k, sink);
          ++packed;
        } else {
          const auto values = (*blocks)[blocks->form()[k].name];
          sink({reinterpret_cast<const char*>(values.data()), static_cast<std::size_t>(values.size()) * sizeof(double)});
        }
      }
      blocks->Evict();
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<BundleBytes> ReadBundleBytes(const std::string& path, std::size_t max_header_bytes) {
  BundleBytes bundle;
  ATTUNE_ASSIGN_OR_RETURN(bundle.file, MappedFile::Open(path));
  const absl::string_view bytes = bundle.file->bytes();
  ATTUNE_ASSIGN_OR_RETURN(bundle.header, ParseHeader(bytes, max_header_bytes));
  const std::size_t header_end = kPrefixBytes + bundle.header.ByteSizeLong();
  const std::size_t start = DataOffset(header_end - kPrefixBytes);
  if (bytes.size() < start) return absl::DataLossError("truncated");
  const absl::string_view padding = bytes.substr(header_end, start - header_end);
  if (std::any_of(padding.begin(), padding.end(), [](char c) { return c != 0; })) {
    return absl::DataLossError("not canonical: its padding is not zero");
  }
  bundle.values = bytes.substr(start);
  return bundle;
}

absl::StatusOr<Bundle> ReadBundleFile(const std::string& path, std::size_t max_header_bytes, BundleValues values) {
  ATTUNE_ASSIGN_OR_RETURN(BundleBytes bytes, ReadBundleBytes(path, max_header_bytes));
  Bundle bundle;
  ATTUNE_ASSIGN_OR_RETURN(bundle.parts, MapParts(bytes, values));
  bundle.header = std::move(bytes.header);
  return bundle;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/bundle_file.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/canonical.h"
#include "common/wire/names.h"

namespace attune {
namespace {

static_assert(std::endian::native == std::endian::little && std::numeric_limits<double>::is_iec559,
              "bundles hold little-endian IEEE 754 values, which are mapped as they are");

constexpr absl::string_view kMagic("ATTUNE\0\1", 8);
constexpr std::size_t kPrefixBytes = 16;  // the magic and the header's size
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 16;
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
  if (bytes.substr(0, kMagic.size()) != kMagic) return absl::DataLossError("not a bundle of format version 1");
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

// The parts as views of the file. `file` keeps them alive.
absl::StatusOr<std::map<std::string, Blocks>> MapParts(const BundleBytes& bundle) {
  const v1::BundleHeader& header = bundle.header;
  const absl::string_view bytes = bundle.values;
  if (bytes.size() % sizeof(double) != 0) return absl::DataLossError("truncated");
  std::span<const double> values(reinterpret_cast<const double*>(bytes.data()), bytes.size() / sizeof(double));
  std::map<std::string, Blocks> parts;
  for (const v1::Part& part : header.parts()) {
    if (!IsOneLine(part.name()) || (!parts.empty() && parts.rbegin()->first >= part.name())) {
      return absl::InvalidArgumentError("its parts are not sorted by name, or repeated");
    }
    ATTUNE_ASSIGN_OR_RETURN(Form form, FormFromProto(part.form(), kMaxFormEntries));
    ATTUNE_ASSIGN_OR_RETURN(const std::size_t size, CheckedSize(form, kMaxFormEntries));
    if (size > values.size()) return absl::DataLossError("truncated: it has fewer values than its header says");
    ATTUNE_ASSIGN_OR_RETURN(Blocks blocks, Blocks::View(std::move(form), values.first(size), bundle.file));
    if (const absl::Status status = blocks.CheckFinite(); !status.ok()) {
      return WithContext(status, absl::StrCat("part '", part.name(), "'"));
    }
    values = values.subspan(size);
    parts.emplace_hint(parts.end(), part.name(), std::move(blocks));
  }
  if (!values.empty()) return absl::DataLossError("too long: it has more values than its header says");
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
  for (const auto& [name, blocks] : parts) {
    if (const absl::Status status = blocks->CheckFinite(); !status.ok())
      return WithContext(status, absl::StrCat("part '", name, "'"));
    v1::Part* part = header.add_parts();
    part->set_name(name);
    FormToProto(blocks->form(), part->mutable_form());
  }
  return WriteBundleBytes(path, header, [&](const ByteSink& sink) {
    for (const auto& [name, blocks] : parts) {
      const std::span<const double> values = blocks->values();
      sink({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
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

absl::StatusOr<Bundle> ReadBundleFile(const std::string& path, std::size_t max_header_bytes) {
  ATTUNE_ASSIGN_OR_RETURN(BundleBytes bytes, ReadBundleBytes(path, max_header_bytes));
  Bundle bundle;
  ATTUNE_ASSIGN_OR_RETURN(bundle.parts, MapParts(bytes));
  bundle.header = std::move(bytes.header);
  return bundle;
}

}  // namespace attune

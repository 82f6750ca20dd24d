// SPDX-License-Identifier: Apache-2.0
//
// The layout of a bundle's bytes (proto/attune/v1/study.proto), whatever it holds. For bundle.cc and masked_bundle.cc only.
#ifndef ATTUNE_COMMON_WIRE_BUNDLE_FILE_H_
#define ATTUNE_COMMON_WIRE_BUNDLE_FILE_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/study.pb.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/kernel/blocks.h"
#include "common/wire/bundle.h"

namespace attune {

// The most entries that a form may ask for: 16 GiB of values.
inline constexpr std::size_t kMaxFormEntries = std::size_t{1} << 31;

using BlocksByName = std::map<std::string, const Blocks*>;
using ByteSink = std::function<void(absl::string_view)>;

// Writes `header` and what `write_values` gives to the sink, atomically. Returns the file's SHA-256. Fails with InvalidArgument
// when the header is larger than a reader accepts, as `write_values` does, and as AtomicFile does.
absl::StatusOr<std::string> WriteBundleBytes(const std::string& path, const v1::BundleHeader& header,
                                             absl::FunctionRef<absl::Status(const ByteSink&)> write_values);

// A mapped bundle: its header, and the bytes of its values. Fails as ReadBundleFile, but for what values say.
struct BundleBytes {
  v1::BundleHeader header;
  absl::string_view values;  // of `file`
  std::shared_ptr<const MappedFile> file;
};
absl::StatusOr<BundleBytes> ReadBundleBytes(const std::string& path, std::size_t max_header_bytes);

// Writes `header`, whose parts this fills in from `parts`, and the values; the flags of answers as bits. Lets go of the memory
// of parts that lie in files. Returns the file's SHA-256. Fails with InvalidArgument when a value is not finite or the header
// is larger than a reader accepts, and as AtomicFile does.
absl::StatusOr<std::string> WriteBundleFile(const std::string& path, v1::BundleHeader header, const BlocksByName& parts);

// Maps a bundle; flags of answers stay packed. Fails with DataLoss or InvalidArgument as OpenBundle says, but looks at nothing
// else that depends on its kind, and at no value where they are known.
absl::StatusOr<Bundle> ReadBundleFile(const std::string& path, std::size_t max_header_bytes, BundleValues values);

void FormToProto(const Form& form, google::protobuf::RepeatedPtrField<v1::Block>* blocks);

// Fails with InvalidArgument when a block's kind, side or resolution cannot be one, or the form has more than `max_entries`.
absl::StatusOr<Form> FormFromProto(const google::protobuf::RepeatedPtrField<v1::Block>& blocks, std::size_t max_entries);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_BUNDLE_FILE_H_

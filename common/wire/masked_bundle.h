// SPDX-License-Identifier: Apache-2.0
//
// What secure aggregation exchanges beside its small messages: a site's masked sum, and the sum over all sites.
#ifndef ATTUNE_COMMON_WIRE_MASKED_BUNDLE_H_
#define ATTUNE_COMMON_WIRE_MASKED_BUNDLE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/word128.h"
#include "common/kernel/blocks.h"
#include "common/wire/bundle.h"

namespace attune {

// Words that are in memory at once: 1 MiB.
inline constexpr std::size_t kTileWords = std::size_t{1} << 16;

// Writes a masked sum of this form, atomically, tile by tile: `fill` gets words whose first is word `first` of the vector (a
// multiple of kTileWords) and writes them; it is called by up to `threads` threads at once. Returns the file's SHA-256. Fails
// as `fill` and AtomicFile do.
absl::StatusOr<std::string> WriteMasked(const std::string& path, const BundleBinding& binding, const Form& form, int threads,
                                        absl::FunctionRef<absl::Status(std::uint64_t first, std::span<Word128> words)> fill);

// A masked sum, mapped.
struct MaskedSum {
  std::span<const Word128> words;
  std::shared_ptr<const MappedFile> file;
};
// Fails with DataLoss and InvalidArgument as OpenBundle does, and with InvalidArgument when it is not of this form.
absl::StatusOr<MaskedSum> OpenMasked(const std::string& path, const BundleBinding& binding, const Form& form);

// The sum of a round over `sites`, sorted. Returns the file's SHA-256.
absl::StatusOr<std::string> WriteSum(const std::string& path, const BundleBinding& binding, const Summary& sum,
                                     const std::vector<std::string>& sites);

struct SumOfSites {
  Summary sum;
  std::vector<std::string> sites;
};
// Fails as OpenMasked does.
absl::StatusOr<SumOfSites> OpenSum(const std::string& path, const BundleBinding& binding, const Form& form);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_MASKED_BUNDLE_H_

// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/batch_id.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/text.h"

namespace attune {

BatchId MakeBatchId(absl::string_view site, absl::string_view label) { return absl::StrCat(site, "/", label); }

std::string SiteOf(const BatchId& batch) { return batch.substr(0, batch.find('/')); }

std::string LabelOf(const BatchId& batch) {
  const std::size_t slash = batch.find('/');
  return slash == std::string::npos ? "" : batch.substr(slash + 1);
}

absl::StatusOr<BatchId> ResolveBatch(absl::string_view name, const std::vector<BatchId>& batches) {
  std::vector<BatchId> candidates;
  for (const BatchId& batch : batches) {
    if (name == batch) return batch;
    if (name == SiteOf(batch) || name == LabelOf(batch)) candidates.push_back(batch);
  }
  if (candidates.size() == 1) return candidates.front();
  if (candidates.empty()) {
    return absl::NotFoundError(absl::StrCat("unknown batch '", name, "'; known batches: ", JoinSome(batches, 50)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("batch '", name, "' is ambiguous: it could be ", JoinSome(candidates, 50), "; give the full name"));
}

}  // namespace attune

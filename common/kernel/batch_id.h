// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_KERNEL_BATCH_ID_H_
#define ATTUNE_COMMON_KERNEL_BATCH_ID_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// One scanner or protocol of one site, "<site>/<label>". Equal labels at two sites are two batches. A site without a batch
// column has the one label "all". Ids sort by their bytes; every fold walks batches in that order.
using BatchId = std::string;

// The label of a site's only batch when the study names no batch column.
inline constexpr char kOnlyBatchLabel[] = "all";

BatchId MakeBatchId(absl::string_view site, absl::string_view label);

// The part before the first '/': site names hold none, labels may.
std::string SiteOf(const BatchId& batch);
std::string LabelOf(const BatchId& batch);

// The one batch of `batches` that `name` means: its full id, or its label or its site where that is unique.
// Fails with NotFound (naming the known ones) or InvalidArgument (ambiguous, naming the candidates).
absl::StatusOr<BatchId> ResolveBatch(absl::string_view name, const std::vector<BatchId>& batches);

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_BATCH_ID_H_

// SPDX-License-Identifier: Apache-2.0
//
// One step of a study's fold: from the answers of a round to what the journal records of its outcome. Pure given the blobs:
// computed again, after a crash or by `verify`, it gives the same bytes.
#ifndef ATTUNE_COORDINATOR_ROUND_OUTCOME_H_
#define ATTUNE_COORDINATOR_ROUND_OUTCOME_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/method.h"
#include "common/storage/blob_store.h"
#include "common/storage/journal.h"
#include "common/wire/bundle.h"
#include "coordinator/study_book.h"

namespace attune {

// The entry that asks the first question. Its bundle is put into `out`. Fails as Method::Begin does.
absl::StatusOr<std::vector<JournalEntry>> FirstQuestion(const std::string& study, const std::string& manifest_sha256,
                                                        const v1::Manifest& manifest, const Method& method,
                                                        const BlobStore& out);

// The entries that follow from the answers of `round`, all of which must be there: the next question, or the correction with
// its evidence, or a failure of the study when the method says that the data cannot be harmonized. Reads blobs of `blobs`,
// checking each one's digest, and puts bundles into `out`. Any error returned is a local one.
absl::StatusOr<std::vector<JournalEntry>> OutcomeOfRound(const StudyStatus& status, const v1::Manifest& manifest,
                                                         const Method& method, std::uint32_t round, const BlobStore& blobs,
                                                         const BlobStore& out);

// Under secure aggregation: the entry that `closed` makes of the digest of the round's sum, and those that follow from the sum
// over `sites` (sorted). Any error returned is one of this machine.
absl::StatusOr<std::vector<JournalEntry>> OutcomeOfSum(const StudyStatus& status, const v1::Manifest& manifest,
                                                       const Method& method, const Question& question, const Summary& sum,
                                                       const std::vector<std::string>& sites,
                                                       absl::FunctionRef<JournalEntry(std::string sum_sha256)> closed,
                                                       const BlobStore& out);

// The parts of an answer file, by name, as views whose flags stay packed (common/wire/bundle.h: OpenPackedAnswer). `parts`: the
// names that it must have. Fails with InvalidArgument when it is not an answer to this question with these parts in the
// question's form, all finite, and with DataLoss when it is damaged; values that are known are not looked at.
absl::StatusOr<std::map<std::string, Summary>> OpenAnswer(const std::string& path, const std::string& manifest_sha256,
                                                          const std::string& question_sha256, const Question& question,
                                                          const std::vector<std::string>& parts, BundleValues values);

// The question of a blob, whose digest is checked. Errors are local ones.
absl::StatusOr<Question> LoadQuestion(const BlobStore& blobs, const std::string& sha256);

// The manifest of a blob, whose digest is checked. Errors are local ones.
absl::StatusOr<v1::Manifest> LoadManifest(const BlobStore& blobs, const std::string& sha256);

// A blob of these bytes.
absl::StatusOr<std::string> StoreBytes(const BlobStore& blobs, absl::string_view bytes);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_ROUND_OUTCOME_H_

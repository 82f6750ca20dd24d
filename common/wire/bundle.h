// SPDX-License-Identifier: Apache-2.0
//
// Questions, answers and corrections as files: the bundle format of proto/attune/v1/study.proto. The same content gives the
// same bytes. Reading trusts nothing: sizes are checked before memory is taken, and values are mapped, not copied.
#ifndef ATTUNE_COMMON_WIRE_BUNDLE_H_
#define ATTUNE_COMMON_WIRE_BUNDLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/method.h"

namespace attune {

// The most that a header may take.
inline constexpr std::size_t kMaxBundleHeaderBytes = std::size_t{16} << 20;

// To what a bundle is bound.
struct BundleBinding {
  std::string manifest_sha256;
  std::uint32_t round = 1;
  std::string question_sha256;  // answers, corrections and evidence
};

// A bundle that was read: its header, and its parts by name as views of the mapped file.
struct Bundle {
  v1::BundleHeader header;
  std::map<std::string, Blocks> parts;
};

// Each writes a bundle atomically (readable by its owner only) and returns its SHA-256.
absl::StatusOr<std::string> WriteQuestion(const std::string& path, const BundleBinding& binding, const Question& question);
absl::StatusOr<std::string> WriteAnswer(const std::string& path, const BundleBinding& binding,
                                        const std::map<std::string, Summary>& parts);
absl::StatusOr<std::string> WriteCorrectionCommon(const std::string& path, const BundleBinding& binding,
                                                  const Correction& correction);
// Only the batches of `site`.
absl::StatusOr<std::string> WriteCorrectionSite(const std::string& path, const BundleBinding& binding,
                                                const Correction& correction, absl::string_view site);
// The evidence, with the notes on single batches.
absl::StatusOr<std::string> WriteEvidence(const std::string& path, const BundleBinding& binding, const Correction& correction);

// Opens a bundle of the given kind; flags that lie there as bits are unpacked, into a copy of their part. Fails with DataLoss
// when the file is truncated, too long or not canonical, with InvalidArgument when it is another kind, is bound to another
// manifest (`binding.manifest_sha256`), round or question (each compared where `binding` is not empty, or not 0), or holds a
// value that is not finite. A header of more than `max_header_bytes` is DataLoss before any of it is parsed.
absl::StatusOr<Bundle> OpenBundle(const std::string& path, v1::BundleKind kind, const BundleBinding& binding,
                                  std::size_t max_header_bytes = kMaxBundleHeaderBytes);

// Whether values are looked at: those of bytes that were checked before, and whose digest was compared, are known.
enum class BundleValues { kChecked, kKnown };

// Opens an answer for those who add up and fit: nothing is copied, flags stay packed (Blocks::IsPacked). Fails as OpenBundle,
// but not for what values are where these are known.
absl::StatusOr<Bundle> OpenPackedAnswer(const std::string& path, const BundleBinding& binding, BundleValues values,
                                        std::size_t max_header_bytes = kMaxBundleHeaderBytes);

// What the header of an answer to this form may take at most, with room for mistakes that are worth a message: parsed, a header
// takes many times its bytes.
std::size_t MaxAnswerHeaderBytes(const BundleBinding& binding, const Form& form, const std::vector<std::string>& parts);

// The question of a bundle.
absl::StatusOr<Question> QuestionOf(const Bundle& bundle);

// What a site knows of the correction: the common part, and its own batches, where `site` is not null (per_batch). Fails with
// InvalidArgument when the bundles are of other kinds or are not of the same correction.
absl::StatusOr<Correction> CorrectionOf(const Bundle& common, const Bundle* site);

// The part named "sum" under which a site's answer travels when the release is pooled.
inline constexpr char kSumPart[] = "sum";
// The one part of a question, of a common correction and of evidence.
inline constexpr char kBodyPart[] = "body";
inline constexpr char kCommonPart[] = "common";
inline constexpr char kEvidencePart[] = "evidence";

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_BUNDLE_H_

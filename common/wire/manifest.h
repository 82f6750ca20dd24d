// SPDX-License-Identifier: Apache-2.0
//
// The study file and the frozen manifest: validation, canonical bytes, and what the kernel needs of them.
#ifndef ATTUNE_COMMON_WIRE_MANIFEST_H_
#define ATTUNE_COMMON_WIRE_MANIFEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/study_facts.h"

namespace attune {

// Version of the protocol and of every format. A peer of another version is refused with a message that names both.
inline constexpr int kProtocolVersion = 1;
inline constexpr char kProtocolMetadataKey[] = "attune-protocol";
// What has been added since without changing what was there; absent: 0. 1: secure aggregation, renewal, echo. Peers of other
// minor versions work together in what both know.
inline constexpr int kProtocolMinor = 1;
inline constexpr char kProtocolMinorMetadataKey[] = "attune-protocol-minor";
// The coordinator's clock in Unix seconds, in the initial metadata of Echo.
inline constexpr char kTimeMetadataKey[] = "attune-time";

// Reads and checks study.yaml. Fails with NotFound or InvalidArgument (file, line, what was expected).
absl::StatusOr<v1::StudyConfig> ReadStudyFile(const std::string& path);

// What can be wrong with a study file beyond its syntax: no name, a covariate without type, a categorical one with fewer than
// two levels, repeated names, a covariate fixed by fit_on, a method that is missing. InvalidArgument, naming the key.
absl::Status CheckStudyConfig(const v1::StudyConfig& config);

// The id of the config's method: "combat/1".
std::string MethodIdOf(const v1::StudyConfig& config);

// The deterministic bytes of a manifest, and their SHA-256: the manifest's name in every message.
std::string CanonicalBytes(const v1::Manifest& manifest);

// The manifest of canonical bytes. Fails with DataLoss when the bytes are not canonical (unknown fields, another order), with
// FailedPrecondition when their protocol version is not ours, with InvalidArgument when roster or features are not sorted,
// empty or repeated.
absl::StatusOr<v1::Manifest> ParseManifest(absl::string_view bytes);

// What methods may know of the study.
StudyFacts FactsOf(const v1::Manifest& manifest);

// The features of a manifest or a model file: its list, or its voxels.
template <typename Message>
FeatureNames FeaturesOf(const Message& message) {
  if (message.voxels() > 0) return FeatureNames::Voxels(message.voxels());
  return std::vector<std::string>(message.features().begin(), message.features().end());
}

// The attachment that holds the mask of a study of images.
inline constexpr char kMaskAttachment[] = "mask";
// The most voxels that a mask may have.
inline constexpr std::uint64_t kMostVoxels = std::uint64_t{1} << 28;
inline constexpr std::uint64_t kMostAttachmentBytes = std::uint64_t{64} << 20;

// Null when there is none of that name.
template <typename Attachments>
const v1::Attachment* FindAttachment(const Attachments& attachments, absl::string_view name) {
  for (const v1::Attachment& attachment : attachments) {
    if (attachment.name() == name) return &attachment;
  }
  return nullptr;
}

std::vector<Covariate> CovariatesOf(const v1::StudyConfig& config);
Release ReleaseOf(const v1::StudyConfig& config);
int MinBatchSizeOf(const v1::StudyConfig& config);
// How long each step of a round waits for a site.
absl::Duration DeadlineOf(const v1::StudyConfig& config);

// What methods may know of the study when only `sites` (sorted) took part in a round: the others' batches are not there.
StudyFacts FactsOf(const v1::Manifest& manifest, const std::vector<std::string>& sites);

// The batches of one site, sorted; empty when the site is not on the roster.
std::vector<BatchId> BatchesOfSite(const v1::Manifest& manifest, absl::string_view site);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_MANIFEST_H_

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/manifest.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/canonical.h"
#include "common/wire/names.h"

namespace attune {
namespace {

absl::Status ManifestError(absl::string_view what) {
  return Printable(absl::InvalidArgumentError(absl::StrCat("the manifest ", what)));
}

absl::Status CheckRoster(const v1::Manifest& manifest) {
  if (manifest.roster().empty()) return ManifestError("has no sites");
  const std::string* last_site = nullptr;
  for (const v1::RosterSite& site : manifest.roster()) {
    if (!IsPlainName(site.site())) return ManifestError("has a site whose name is not one");
    if (last_site != nullptr && *last_site >= site.site()) return ManifestError("has sites that are not sorted, or repeated");
    last_site = &site.site();
    if (site.batches().empty()) return ManifestError(absl::StrCat("has no batches of site '", site.site(), "'"));
    const std::string* last_batch = nullptr;
    for (const std::string& batch : site.batches()) {
      if (!IsOneLine(batch))
        return ManifestError(absl::StrCat("has a batch of site '", site.site(), "' with an empty or broken label"));
      if (last_batch != nullptr && *last_batch >= batch) {
        return ManifestError(absl::StrCat("has batches of site '", site.site(), "' that are not sorted, or repeated"));
      }
      last_batch = &batch;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAttachments(const v1::Manifest& manifest) {
  const std::string* last = nullptr;
  for (const v1::Attachment& attachment : manifest.attachments()) {
    if (!IsPlainName(attachment.name())) return ManifestError("has an attachment whose name is not one");
    if (last != nullptr && *last >= attachment.name()) return ManifestError("has attachments that are not sorted, or repeated");
    last = &attachment.name();
    if (!IsSha256Hex(attachment.sha256()) || attachment.size() == 0 || attachment.size() > kMostAttachmentBytes) {
      return ManifestError(
          absl::StrCat("has the attachment '", attachment.name(), "' without a digest, or of an impossible size"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFeatures(const v1::Manifest& manifest) {
  ATTUNE_RETURN_IF_ERROR(CheckAttachments(manifest));
  const bool images = manifest.config().features().has_images();
  if (images != (manifest.voxels() > 0) || images != (FindAttachment(manifest.attachments(), kMaskAttachment) != nullptr)) {
    return ManifestError("has voxels, or a mask, and no images, or the reverse");
  }
  if (images) {
    if (!manifest.features().empty()) return ManifestError("has a list of features beside images");
    if (manifest.voxels() > kMostVoxels) return ManifestError(absl::StrCat("has more than ", kMostVoxels, " voxels"));
    if (absl::StrContains(manifest.config().features().images().mask(), '/'))
      return ManifestError("has a path as the name of its mask");
    return absl::OkStatus();
  }
  if (manifest.features().empty()) return ManifestError("has no features");
  std::set<absl::string_view> seen;
  for (const std::string& feature : manifest.features()) {
    if (!IsOneLine(feature)) return ManifestError("has a feature with an empty or broken name");
    if (!seen.insert(feature).second) return ManifestError(absl::StrCat("has the feature '", feature, "' twice"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string CanonicalBytes(const v1::Manifest& manifest) { return DeterministicBytes(manifest); }

absl::StatusOr<v1::Manifest> ParseManifest(absl::string_view bytes) {
  v1::Manifest manifest;
  if (!ParseBytes(bytes, &manifest)) return absl::DataLossError("the manifest is not readable");
  // Before all else: a later version may well have fields that we do not know.
  if (manifest.protocol() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the manifest has protocol version ", manifest.protocol(),
                                                      ", this program speaks version ", kProtocolVersion,
                                                      "; install the release of Attune that the coordinator runs"));
  }
  if (!IsCanonical(manifest, bytes))
    return absl::DataLossError("the manifest's bytes are not canonical: it was changed on its way");
  if (!IsPlainName(manifest.consortium())) return ManifestError("names no consortium");
  if (const absl::Status status = CheckStudyConfig(manifest.config()); !status.ok()) return WithContext(status, "the manifest");
  if (manifest.method() != MethodIdOf(manifest.config())) {
    return ManifestError(
        absl::StrCat("asks for method '", manifest.method(), "', and this program's is '", MethodIdOf(manifest.config()), "'"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckRoster(manifest));
  ATTUNE_RETURN_IF_ERROR(CheckFeatures(manifest));
  return manifest;
}

StudyFacts FactsOf(const v1::Manifest& manifest) {
  StudyFacts facts = {.features = FeaturesOf(manifest),
                      .covariates = CovariatesOf(manifest.config()),
                      .release = ReleaseOf(manifest.config()),
                      .min_batch_size = MinBatchSizeOf(manifest.config()),
                      .options = DeterministicBytes(manifest.config().method().combat())};
  for (const v1::RosterSite& site : manifest.roster()) {
    for (const std::string& label : site.batches()) facts.batches.push_back(MakeBatchId(site.site(), label));
  }
  // Not the order of the roster: "a-b/x" sorts before "a/x".
  std::sort(facts.batches.begin(), facts.batches.end());
  return facts;
}

StudyFacts FactsOf(const v1::Manifest& manifest, const std::vector<std::string>& sites) {
  StudyFacts facts = FactsOf(manifest);
  std::erase_if(facts.batches,
                [&](const BatchId& batch) { return !std::binary_search(sites.begin(), sites.end(), SiteOf(batch)); });
  return facts;
}

std::vector<BatchId> BatchesOfSite(const v1::Manifest& manifest, absl::string_view site) {
  std::vector<BatchId> batches;
  for (const v1::RosterSite& entry : manifest.roster()) {
    if (entry.site() != site) continue;
    for (const std::string& label : entry.batches()) batches.push_back(MakeBatchId(site, label));
  }
  std::sort(batches.begin(), batches.end());
  return batches;
}

}  // namespace attune

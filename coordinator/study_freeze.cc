// SPDX-License-Identifier: Apache-2.0
#include "coordinator/study_freeze.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/batch_id.h"
#include "common/security/aggregation_terms.h"
#include "common/security/signature.h"
#include "common/wire/manifest.h"
#include "coordinator/errors.h"

namespace attune {
namespace {

constexpr std::size_t kMaxNameBytes = 1024;

absl::Status CheckName(absl::string_view what, const std::string& name) {
  const bool control =
      std::any_of(name.begin(), name.end(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
  if (name.empty() || name.size() > kMaxNameBytes || control) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", what, "'s name is empty, longer than ", kMaxNameBytes, " bytes or holds control characters"));
  }
  return absl::OkStatus();
}

// "missing a, b; additional c": how a site's features differ from those of the first site.
std::string DescribeFeatures(const std::set<std::string>& expected, const std::set<std::string>& features) {
  std::vector<std::string> missing;
  std::vector<std::string> additional;
  std::set_difference(expected.begin(), expected.end(), features.begin(), features.end(), std::back_inserter(missing));
  std::set_difference(features.begin(), features.end(), expected.begin(), expected.end(), std::back_inserter(additional));
  std::vector<std::string> parts;
  if (!missing.empty()) parts.push_back(absl::StrCat("missing ", JoinSome(missing)));
  if (!additional.empty()) parts.push_back(absl::StrCat("additional ", JoinSome(additional)));
  return absl::StrJoin(parts, "; ");
}

absl::StatusOr<v1::RegisterRequest> RequestOf(const Registration& registration, const BlobStore& blobs) {
  const absl::StatusOr<std::string> path = blobs.Verified(registration.request_sha256);
  if (!path.ok()) return LocalError(path.status());
  const absl::StatusOr<std::string> bytes = ReadFile(*path);
  if (!bytes.ok()) return LocalError(bytes.status());
  v1::RegisterRequest request;
  if (!request.ParseFromString(*bytes)) return LocalError(absl::DataLossError("a stored registration cannot be read"));
  return request;
}

}  // namespace

absl::Status CheckRegistration(const StudyStatus& study, const v1::RegisterRequest& request) {
  const v1::StudyConfig& config = study.config;
  const bool images = config.features().has_images();
  if (images != request.has_images() || (images && !request.features().empty())) {
    return absl::InvalidArgumentError(images ? "the study's features are images: a registration names its mask, and no features"
                                             : "the study's features are a table: a registration names them, and no mask");
  }
  if (images) {
    const auto mask = study.attachments.find(kMaskAttachment);
    if (mask == study.attachments.end() || request.images().mask_sha256() != mask->second) {
      return absl::InvalidArgumentError("the registration is for another mask than the study's; register again");
    }
    if (request.images().voxels() == 0 || request.images().voxels() > kMostVoxels) {
      return absl::InvalidArgumentError(absl::StrCat("a mask has 1 to ", kMostVoxels, " voxels"));
    }
  }
  if (request.batches().empty() || (request.features().empty() && !images)) {
    return absl::InvalidArgumentError("a registration needs at least one batch and one feature");
  }
  for (const std::string& label : request.batches()) ATTUNE_RETURN_IF_ERROR(CheckName("batch", label));
  for (int i = 1; i < request.batches_size(); ++i) {
    if (request.batches(i - 1) >= request.batches(i)) {
      return absl::InvalidArgumentError("a registration's batches must be sorted and different from each other");
    }
  }
  if (config.batch().empty() && (request.batches_size() != 1 || request.batches(0) != kOnlyBatchLabel)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the study names no batch column: a site has the one batch '", kOnlyBatchLabel, "'"));
  }
  std::set<absl::string_view> names;
  for (const std::string& feature : request.features()) {
    ATTUNE_RETURN_IF_ERROR(CheckName("feature", feature));
    if (!names.insert(feature).second)
      return absl::InvalidArgumentError(absl::StrCat("the feature '", feature, "' is repeated"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Manifest> FreezeManifest(absl::string_view consortium, const StudyStatus& status, const BlobStore& blobs) {
  v1::Manifest manifest;
  manifest.set_protocol(kProtocolVersion);
  manifest.set_consortium(std::string(consortium));
  *manifest.mutable_config() = status.config;
  manifest.set_method(MethodIdOf(status.config));

  std::vector<BatchId> batches;
  std::set<std::string> expected;
  std::vector<std::string> differences;
  for (const auto& [site, registration] : status.sites) {
    ATTUNE_ASSIGN_OR_RETURN(const v1::RegisterRequest request, RequestOf(registration, blobs));
    v1::RosterSite& roster = *manifest.add_roster();
    roster.set_site(site);
    *roster.mutable_batches() = request.batches();
    if (ReleaseOf(status.config) == Release::kPooled && !status.plain_sums) {
      ATTUNE_ASSIGN_OR_RETURN(*roster.mutable_key_sha256(), KeyFingerprintOf(request.certificate_pem()));
    }
    for (const std::string& label : request.batches()) batches.push_back(MakeBatchId(site, label));
    if (request.has_images()) {
      if (manifest.voxels() != 0 && manifest.voxels() != request.images().voxels()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "site '", site, "' counts ", request.images().voxels(), " voxels in the study's mask, those before it ",
            manifest.voxels(), ": their programs read it differently; use one release of Attune everywhere"));
      }
      manifest.set_voxels(request.images().voxels());
      continue;
    }
    std::set<std::string> features(request.features().begin(), request.features().end());
    if (manifest.roster_size() == 1) {
      *manifest.mutable_features() = request.features();
      expected = std::move(features);
    } else if (features != expected) {
      differences.push_back(absl::StrCat("site '", site, "': ", DescribeFeatures(expected, features)));
    }
  }
  for (const auto& [name, sha256] : status.attachments) {
    const absl::StatusOr<std::uint64_t> size = blobs.SizeOf(sha256);
    if (!size.ok()) return LocalError(size.status());
    v1::Attachment& attachment = *manifest.add_attachments();
    attachment.set_name(name);
    attachment.set_sha256(sha256);
    attachment.set_size(*size);
  }
  if (batches.size() < 2) {
    return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' has ", batches.size(),
                                                      " registered batches, and needs at least 2; wait until more sites have "
                                                      "registered"));
  }
  if (!differences.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the sites have not the same features. Compared with site '",
                                                      manifest.roster(0).site(), "': ", absl::StrJoin(differences, ". "),
                                                      ". Name in the study file the features that all sites have, or let the "
                                                      "sites map theirs in site.yaml, and register again"));
  }
  if (ReleaseOf(status.config) == Release::kPooled && !status.plain_sums) {
    manifest.mutable_aggregation()->set_suite(aggregation::kSuite);
    manifest.mutable_aggregation()->set_threshold(aggregation::ThresholdOf(static_cast<std::uint32_t>(manifest.roster_size())));
    ATTUNE_RETURN_IF_ERROR(aggregation::CheckTerms(manifest));
  }
  if (manifest.config().method().combat().reference_batch().empty()) return manifest;
  v1::CombatOptions& options = *manifest.mutable_config()->mutable_method()->mutable_combat();
  absl::StatusOr<BatchId> reference = ResolveBatch(options.reference_batch(), batches);
  if (!reference.ok()) return WithContext(reference.status(), "method.combat.reference_batch");
  options.set_reference_batch(*std::move(reference));
  return manifest;
}

}  // namespace attune

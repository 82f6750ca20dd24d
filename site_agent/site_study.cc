// SPDX-License-Identifier: Apache-2.0
#include "site_agent/site_study.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/methods/registry.h"
#include "common/wire/manifest.h"
#include "site_agent/gate.h"
#include "site_agent/imaging/image_data.h"
#include "site_agent/policy.h"

namespace attune {
namespace {

// What of site.yaml changes the cohort: everything but where the files lie.
v1::FileDigest DigestOfMapping(v1::SiteConfig config) {
  config.clear_participants();
  config.clear_features();
  config.clear_images();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    config.SerializeToCodedStream(&coded);
  }
  v1::FileDigest digest;
  digest.set_file("site.yaml (columns)");
  digest.set_sha256(Sha256Hex(bytes));
  return digest;
}

}  // namespace

absl::StatusOr<SiteStudy> MakeSiteStudy(const Home& home, const std::string& site, HeldManifest held) {
  ATTUNE_ASSIGN_OR_RETURN(v1::SitePolicy policy, ReadPolicy(home.PolicyPath()));
  ATTUNE_RETURN_IF_ERROR(CheckPermissive(policy, held.manifest.consortium()));
  ATTUNE_ASSIGN_OR_RETURN(StudyFolder folder, home.Study(held.manifest.config().study()));
  SiteStudy study{.folder = std::move(folder),
                  .site = site,
                  .held = std::move(held),
                  .policy = std::move(policy),
                  .ledger_folder = home.LedgerFolder()};
  const v1::Manifest& manifest = study.held.manifest;
  study.method = FindMethod(manifest.method());
  if (study.method == nullptr) {
    return absl::NotFoundError(absl::StrCat("study '", study.name(), "' uses the method '", manifest.method(),
                                            "', which attune-site ", kVersion,
                                            " does not know: install the version that the consortium uses"));
  }
  study.facts = FactsOf(manifest);
  study.batches = BatchesOfSite(manifest, site);
  if (study.batches.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("site '", site, "' is not on the roster of study '", study.name(),
                                                      "': it had not registered when the study was started"));
  }
  if (auto approval = study.folder.ReadApproval(); approval.ok()) {
    if (!approval->by_policy()) study.approval = *std::move(approval);
  } else if (!absl::IsNotFound(approval.status())) {
    return approval.status();
  }
  const bool approved = study.approval.has_value() && study.approval->manifest_sha256() == study.held.sha256;
  if (!approved && ApprovesManifest(study.policy, study.held.sha256)) study.approval = ApprovalByPolicy(study.held.sha256);
  return study;
}

absl::StatusOr<SiteStudy> OpenApprovedStudy(const Home& home, const std::string& site, const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(study));
  absl::StatusOr<HeldManifest> held = folder.ReadManifest();
  if (absl::IsNotFound(held.status())) return CheckApproved(study, "", std::nullopt);
  ATTUNE_RETURN_IF_ERROR(held.status());
  ATTUNE_ASSIGN_OR_RETURN(SiteStudy opened, MakeSiteStudy(home, site, *std::move(held)));
  ATTUNE_RETURN_IF_ERROR(CheckApproved(study, opened.held.sha256, opened.approval));
  return opened;
}

absl::StatusOr<SiteTables> OpenTables(const v1::SiteConfig& site_config, const v1::StudyConfig& study,
                                      const SiteDataOptions& options) {
  SiteTables tables;
  if (study.features().has_images()) {
    absl::StatusOr<std::unique_ptr<ImageData>> images = ImageData::Open(site_config, study, options);
    if (!images.ok()) return Printable(images.status());
    tables.data = *std::move(images);
  } else {
    ATTUNE_ASSIGN_OR_RETURN(tables.data, SiteData::Open(site_config, study, options));
  }
  tables.inputs = tables.data->inputs();
  tables.inputs.push_back(DigestOfMapping(site_config));
  return tables;
}

absl::Status CheckBatchesAreRegistered(const SiteStudy& study, const SiteData& data) {
  std::vector<BatchId> found;
  for (const BatchCount& batch : data.batches()) found.push_back(batch.batch);
  for (const BatchId& batch : found) {
    if (std::binary_search(study.batches.begin(), study.batches.end(), batch)) continue;
    return absl::FailedPreconditionError(absl::StrCat("the tables have batch '", batch,
                                                      "', which this site did not register for study '", study.name(),
                                                      "': expected only ", JoinSome(study.batches)));
  }
  for (const BatchId& batch : study.batches) {
    if (std::find(found.begin(), found.end(), batch) != found.end()) continue;
    return absl::FailedPreconditionError(absl::StrCat("the tables have nobody of batch '", batch,
                                                      "', which this site registered for study '", study.name(), "'"));
  }
  return absl::OkStatus();
}

}  // namespace attune

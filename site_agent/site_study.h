// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_SITE_STUDY_H_
#define ATTUNE_SITE_AGENT_SITE_STUDY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/policy.pb.h"
#include "attune/v1/site_state.pb.h"
#include "common/kernel/method.h"
#include "site_agent/home.h"
#include "site_agent/tables/site_data.h"

namespace attune {

// A frozen study as this site sees it.
struct SiteStudy {
  StudyFolder folder;
  std::string site;
  HeldManifest held;
  StudyFacts facts;
  const Method* method = nullptr;
  std::vector<BatchId> batches;  // this site's, sorted
  // What was approved here, if anything, of this manifest or of another; where policy.yaml lists this one, that counts.
  std::optional<v1::Approval> approval;
  v1::SitePolicy policy;
  std::string ledger_folder;

  const std::string& name() const { return held.manifest.config().study(); }
};

// Fails with FailedPrecondition when the site is not on the manifest's roster or has no policy, with InvalidArgument when the
// policy cannot be one, with PermissionDenied when it is one for the simulator only, and with NotFound when this program does
// not know the study's method (saying which version it is).
absl::StatusOr<SiteStudy> MakeSiteStudy(const Home& home, const std::string& site, HeldManifest held);

// The study whose manifest this site holds, which must be approved: PermissionDenied otherwise.
absl::StatusOr<SiteStudy> OpenApprovedStudy(const Home& home, const std::string& site, const std::string& study);

// A site's tables, and what they were read from.
struct SiteTables {
  std::unique_ptr<const SiteData> data;
  // Digests of the files and of how site.yaml maps them: equal digests, equal cohort.
  std::vector<v1::FileDigest> inputs;
};

// Reads the tables of `site_config`, whose paths start at `folder`. Fails as SiteData::Open does.
absl::StatusOr<SiteTables> OpenTables(const v1::SiteConfig& site_config, const v1::StudyConfig& study,
                                      const SiteDataOptions& options);

// The batches of the data must be those that the site registered: FailedPrecondition naming the first that is not.
absl::Status CheckBatchesAreRegistered(const SiteStudy& study, const SiteData& data);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_SITE_STUDY_H_

// SPDX-License-Identifier: Apache-2.0
//
// The release ledger: on whom this site has ever released sums, as keyed digests of people that mean nothing without the site's
// own key. Sums over two sets of people that differ by few give, by subtraction, the sums over these few; sums over many sets
// can be combined. Hence two rules (docs/policy.md):
//
//   difference  a set of people (a batch, or all batches of the site together) that overlaps with one of an earlier release,
//   and
//               is not the same, differs from it by at least min_release_difference people
//   budget      fewer than max_releases_per_subject_set earlier releases have any person in common with it
//
// Rounds, retries and stages of one approved manifest on the same people are one release. Files, readable by the owner only:
//
//   <folder>/key                 32 random bytes; without them nothing can be compared with what was released before
//            000001.release ...  one per release: a line with the SHA-256 of what follows, then a ReleaseRecord
//            lock
#ifndef ATTUNE_SITE_AGENT_LEDGER_H_
#define ATTUNE_SITE_AGENT_LEDGER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/policy.pb.h"
#include "site_agent/policy_rules.h"
#include "site_agent/survey.h"

namespace attune {

// What is about to be released.
struct PlannedRelease {
  std::string study;
  std::string manifest_sha256;
  std::string override_reason;  // empty: the rules hold
};

class Ledger {
 public:
  // Makes folder and key when this site never had them. Fails with DataLoss when there are records and no key, or another one.
  static absl::StatusOr<Ledger> Open(const std::string& folder);

  // Of the digests of people (SurveyOptions).
  const std::string& key() const { return key_; }

  // The two rules on these people; overridden ones pass and say why. Memory: one earlier release at a time. Fails with
  // DataLoss, saying what to do, when a record is damaged or missing.
  absl::StatusOr<std::vector<RuleResult>> Judge(const PlannedRelease& release, const v1::SitePolicy& policy,
                                                const std::vector<BatchSurvey>& people) const;

  // Judges again, alone among all processes of this site, and makes the release durable. What is on record already is not
  // recorded twice. PermissionDenied: a rule refuses.
  absl::Status Record(const PlannedRelease& release, const v1::SitePolicy& policy,
                      const std::vector<BatchSurvey>& people) const;

  // All records in order, one at a time. Fails as Judge does, and as `visit` does.
  absl::Status ForEach(absl::FunctionRef<absl::Status(const v1::ReleaseRecord&)> visit) const;

 private:
  Ledger(std::string folder, std::string key) : folder_(std::move(folder)), key_(std::move(key)) {}

  std::string RecordPath(int number) const;
  absl::StatusOr<int> Count() const;

  std::string folder_;
  std::string key_;
};

// How many people are in a record.
std::int64_t PeopleOf(const v1::ReleaseRecord& record);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_LEDGER_H_

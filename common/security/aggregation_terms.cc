// SPDX-License-Identifier: Apache-2.0
#include "common/security/aggregation_terms.h"

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"

namespace attune::aggregation {

Terms TermsOf(const v1::Manifest& manifest, const std::string& manifest_sha256, std::uint32_t round, std::uint32_t attempt,
              const std::string& question_sha256) {
  Terms terms;
  terms.session.set_protocol(manifest.protocol());
  terms.session.set_manifest_sha256(manifest_sha256);
  terms.session.set_round(round);
  terms.session.set_attempt(attempt);
  terms.session.set_question_sha256(question_sha256);
  for (const v1::RosterSite& site : manifest.roster()) terms.roster.push_back({site.site(), site.key_sha256()});
  terms.threshold = manifest.aggregation().threshold();
  return terms;
}

absl::Status CheckTerms(const v1::Manifest& manifest) {
  const v1::AggregationTerms& terms = manifest.aggregation();
  const auto sites = static_cast<std::uint32_t>(manifest.roster_size());
  if (terms.suite() != kSuite) {
    return absl::FailedPreconditionError(
        absl::StrCat("the study's sums would be masked by '", terms.suite(), "', and this version knows '", kSuite, "'"));
  }
  if (sites < kFewestSites || sites > kMostSites) {
    return absl::FailedPreconditionError(absl::StrCat("release: pooled needs ", kFewestSites, " to ", kMostSites,
                                                      " sites, and the study has ", sites,
                                                      ": of two, each would know the other's sums"));
  }
  if (terms.threshold() != ThresholdOf(sites)) {
    return absl::FailedPreconditionError(absl::StrCat("the study's threshold is ", terms.threshold(), ", expected ",
                                                      ThresholdOf(sites), " of ", sites, " sites"));
  }
  for (const v1::RosterSite& site : manifest.roster()) {
    if (IsSha256Hex(site.key_sha256())) continue;
    return absl::FailedPreconditionError(absl::StrCat("the manifest has no key of site '", site.site(),
                                                      "', which would have to sign its part of secure aggregation"));
  }
  return absl::OkStatus();
}

}  // namespace attune::aggregation

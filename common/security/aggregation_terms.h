// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_SECURITY_AGGREGATION_TERMS_H_
#define ATTUNE_COMMON_SECURITY_AGGREGATION_TERMS_H_

#include <cstdint>
#include <string>

#include "attune/v1/study.pb.h"
#include "common/security/aggregation.h"

namespace attune::aggregation {

// What a manifest that asks for secure aggregation fixes of this attempt at this round.
Terms TermsOf(const v1::Manifest& manifest, const std::string& manifest_sha256, std::uint32_t round, std::uint32_t attempt,
              const std::string& question_sha256);

// Whether the manifest's terms can protect its sites: a suite that this program has, from kFewestSites to kMostSites sites, the
// threshold that belongs to so many, a key for each site. FailedPrecondition says what is wrong.
absl::Status CheckTerms(const v1::Manifest& manifest);

}  // namespace attune::aggregation

#endif  // ATTUNE_COMMON_SECURITY_AGGREGATION_TERMS_H_

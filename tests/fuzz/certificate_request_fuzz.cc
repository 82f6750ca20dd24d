// SPDX-License-Identifier: Apache-2.0
//
// Certificate requests, which the coordinator takes from whoever has a token.
#include "common/security/certificates.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(certificate_request)(absl::string_view bytes) {
  static const auto* const authority = new KeyAndCertificate(*MakeAuthority("net"));
  const absl::StatusOr<std::string> certificate = SignSiteRequest(*authority, bytes, SiteUri("net", "north"), 30);
  RequirePrintable(certificate.status());
  if (certificate.ok()) {
    const absl::StatusOr<int> days = DaysLeft(*certificate);
    Require(days.ok() && *days >= 29 && *days <= 30, "a certificate lasts as long as was said");
  }
  const absl::StatusOr<SiteIdentity> identity = ParseSiteUri(bytes);
  RequirePrintable(identity.status());
  if (identity.ok()) Require(SiteUri(identity->consortium, identity->site) == bytes, "one identity, one URI");
}

}  // namespace attune::fuzz

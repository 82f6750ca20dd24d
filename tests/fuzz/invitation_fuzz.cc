// SPDX-License-Identifier: Apache-2.0
//
// The invitation file, as it comes by mail.
#include "attune/v1/coordinator.pb.h"
#include "common/security/certificates.h"
#include "common/wire/json.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(invitation)(absl::string_view bytes) {
  v1::Invitation invitation;
  const absl::Status parsed = FromJson(bytes, "invitation.json", &invitation);
  RequirePrintable(parsed);
  if (!parsed.ok()) return;
  const absl::StatusOr<std::string> fingerprint = FingerprintOf(invitation.ca_pem());
  RequirePrintable(fingerprint.status());
  if (!fingerprint.ok()) return;
  Require(SameFingerprint(*fingerprint, *fingerprint) && !SameFingerprint(*fingerprint, ""), "a fingerprint is itself alone");
  RequirePrintable(DaysLeft(invitation.ca_pem()).status());
}

}  // namespace attune::fuzz

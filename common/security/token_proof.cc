// SPDX-License-Identifier: Apache-2.0
#include "common/security/token_proof.h"

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/security/keyed_digest.h"

namespace attune {

std::string TokenProof(absl::string_view token_sha256, absl::string_view site, absl::string_view certificate_request_pem) {
  // Digests of a fixed length, so that no two pairs of name and request read alike.
  return KeyedDigest(token_sha256, absl::StrCat("attune enrol by folder", Sha256Hex(site), Sha256Hex(certificate_request_pem)));
}

}  // namespace attune

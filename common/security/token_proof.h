// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_SECURITY_TOKEN_PROOF_H_
#define ATTUNE_COMMON_SECURITY_TOKEN_PROOF_H_

#include <string>

#include "absl/strings/string_view.h"

namespace attune {

// How a site shows, on a way that others may read, that it knows an invitation's token: HMAC-SHA256 over its name and its
// certificate request, in hexadecimal. The key is the token's SHA-256 (hexadecimal), all that the coordinator keeps of a token.
// Whoever reads the proof can enrol nothing but the same request, whose key the site alone has.
std::string TokenProof(absl::string_view token_sha256, absl::string_view site, absl::string_view certificate_request_pem);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_TOKEN_PROOF_H_

// SPDX-License-Identifier: Apache-2.0
//
// Signatures of sites and of the coordinator with the keys of their certificates (ECDSA with SHA-256, or RSA likewise).
#ifndef ATTUNE_COMMON_SECURITY_SIGNATURE_H_
#define ATTUNE_COMMON_SECURITY_SIGNATURE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// SHA-256, in lower-case hexadecimal, of the certificate's public key (SubjectPublicKeyInfo, DER). It stays the same when a
// certificate is renewed for the same key. InvalidArgument: not a certificate.
absl::StatusOr<std::string> KeyFingerprintOf(absl::string_view certificate_pem);

// Signs `purpose`, a zero byte and `bytes`, so that what was signed for one purpose never counts for another. `purpose` holds
// no zero byte. InvalidArgument: not a private key, in PEM.
absl::StatusOr<std::string> Sign(absl::string_view key_pem, absl::string_view purpose, absl::string_view bytes);

// OK when `signature` was made so by the key of the certificate; Unauthenticated when not. Says nothing of the certificate.
// InvalidArgument, here and below: not a certificate.
absl::Status VerifySignature(absl::string_view certificate_pem, absl::string_view purpose, absl::string_view bytes,
                             absl::string_view signature);

// OK when the authority signed the certificate; Unauthenticated when not. Where `at_any_time` is false it must also be valid
// now: what was signed when a certificate was valid stays signed when it has expired.
absl::Status CheckIssuedBy(absl::string_view certificate_pem, absl::string_view authority_pem, bool at_any_time = false);

// The one URI among the certificate's subject alternative names; Unauthenticated when there is none or more than one.
absl::StatusOr<std::string> UriOf(absl::string_view certificate_pem);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_SIGNATURE_H_

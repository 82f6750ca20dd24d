// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_SECURITY_SERVER_CERTIFICATE_H_
#define ATTUNE_COMMON_SECURITY_SERVER_CERTIFICATE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// OK when the certificate may speak for the coordinator: it is for TLS servers (extended key usage) and names no site (no URI).
// The authority gives sites and administrators certificates for clients only. Unauthenticated: another kind of certificate.
// InvalidArgument: not a certificate. Says nothing of who issued it (signature.h).
absl::Status CheckServerCertificate(absl::string_view certificate_pem);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_SERVER_CERTIFICATE_H_

// SPDX-License-Identifier: Apache-2.0
//
// A new certificate before the old one expires. The key stays, so that studies that run, which are bound to it, go on.
#ifndef ATTUNE_SITE_AGENT_RENEWAL_H_
#define ATTUNE_SITE_AGENT_RENEWAL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/transport/courier.h"
#include "common/transport/grpc_courier.h"
#include "site_agent/home.h"

namespace attune {

inline constexpr int kRenewBeforeDays = 30;

// Asks for a new certificate for the key in `options`, checks it, puts it in the place of the old one and returns it (PEM).
// Killed at any moment, the site has the old one or the new one, and both count. Fails as Renew does, and with Unauthenticated
// when what came is not this site's certificate by the consortium's authority.
absl::StatusOr<std::string> RenewCertificate(const Home& home, const std::string& site, const GrpcCourierOptions& options);

// A gRPC courier that renews the site's certificate when fewer than kRenewBeforeDays are left: when it is made, and later
// between two calls. Where that fails it warns and tries again an hour later; the call goes on with the certificate that there
// is.
absl::StatusOr<std::unique_ptr<Courier>> MakeRenewingCourier(const Home& home, const std::string& site,
                                                             const GrpcCourierOptions& options);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_RENEWAL_H_

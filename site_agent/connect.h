// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_CONNECT_H_
#define ATTUNE_SITE_AGENT_CONNECT_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attune/v1/coordinator.pb.h"
#include "common/transport/courier.h"
#include "common/transport/grpc_courier.h"
#include "common/transport/proxy.h"
#include "site_agent/home.h"

namespace attune {

// The proxy of an identity, with the credentials of its file: fails as ReadProxyCredentials does.
absl::StatusOr<ProxySettings> ProxyOf(const v1::AgentIdentity& identity);

// How this site reaches its coordinator over a network, as its identity says. Fails when a file of the identity or of the
// proxy's credentials is missing or not as it must be.
absl::StatusOr<GrpcCourierOptions> NetworkOptionsOf(const Home& home, const v1::AgentIdentity& identity);

// The same, to act as this site. FailedPrecondition where it exchanges a folder; Unauthenticated when its certificate has
// expired. `patience` as in Connect.
absl::StatusOr<GrpcCourierOptions> DialOptions(const Home& home, const v1::AgentIdentity& identity,
                                               std::optional<absl::Duration> patience);

// The courier that this site's identity names. `patience`: how long to go on when the coordinator is not there; by default ten
// minutes over a network and not at all by folder. Over a network the courier renews the certificate in time (renewal.h).
absl::StatusOr<std::unique_ptr<Courier>> Connect(const Home& home, const v1::AgentIdentity& identity,
                                                 std::optional<absl::Duration> patience);

// What the coordinator says of a study; kept in the study's folder, with the study's files, whose digests are checked.
absl::StatusOr<v1::GetStudyReply> AskForStudy(const StudyFolder& folder, const std::string& study, Courier* courier);

// The manifest of such a reply. FailedPrecondition while the study is recruiting; PermissionDenied when the manifest is of
// another consortium or names another study.
absl::StatusOr<HeldManifest> ManifestOf(const v1::GetStudyReply& reply, const v1::AgentIdentity& identity,
                                        const std::string& study);

// The manifest of a file, checked likewise against the identity.
absl::StatusOr<HeldManifest> ReadManifestFile(const std::string& path, const v1::AgentIdentity& identity);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_CONNECT_H_

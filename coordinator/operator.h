// SPDX-License-Identifier: Apache-2.0
//
// What an operator can ask for, on the coordinator's own machine or from another one (grpc_operator.h).
#ifndef ATTUNE_COORDINATOR_OPERATOR_H_
#define ATTUNE_COORDINATOR_OPERATOR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/admin.pb.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/outputs.pb.h"
#include "common/storage/blob_store.h"
#include "coordinator/desk.h"
#include "coordinator/invitations.h"

namespace attune {

// Codes are those of the Desk and the Invitations; from another machine also Unavailable, DeadlineExceeded, Unauthenticated and
// PermissionDenied.
class Operator {
 public:
  virtual ~Operator() = default;

  // `plain_sums`: Desk::CreateStudy; only on the coordinator's own machine.
  virtual absl::Status CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files = {}) = 0;
  // The manifest's hash.
  virtual absl::StatusOr<std::string> StartStudy(const std::string& study) = 0;
  virtual absl::StatusOr<v1::StudyView> ShowStudy(const std::string& study) = 0;
  // DescribeSeen of seen.h.
  virtual absl::StatusOr<std::string> DescribeSeen(const std::string& study) = 0;
  virtual absl::StatusOr<v1::StudyList> ListStudies() = 0;
  virtual absl::Status CloseStudy(const std::string& study) = 0;
  virtual absl::StatusOr<v1::Invitation> InviteSite(const std::string& site, const std::string& coordinator, int days) = 0;
  virtual absl::StatusOr<v1::MemberList> ListSites() = 0;
  virtual absl::Status RevokeSite(const std::string& site) = 0;
};

// On this machine's state folder. Thread-safe.
class LocalOperator final : public Operator {
 public:
  // The pointers are not owned and outlive the operator.
  LocalOperator(Desk* desk, Invitations* invitations, BlobStore blobs);

  absl::Status CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files) override;
  absl::StatusOr<std::string> StartStudy(const std::string& study) override;
  absl::StatusOr<v1::StudyView> ShowStudy(const std::string& study) override;
  absl::StatusOr<std::string> DescribeSeen(const std::string& study) override;
  absl::StatusOr<v1::StudyList> ListStudies() override;
  absl::Status CloseStudy(const std::string& study) override;
  absl::StatusOr<v1::Invitation> InviteSite(const std::string& site, const std::string& coordinator, int days) override;
  absl::StatusOr<v1::MemberList> ListSites() override;
  absl::Status RevokeSite(const std::string& site) override;

 private:
  Desk* const desk_;                // not owned
  Invitations* const invitations_;  // not owned
  const BlobStore blobs_;
};

v1::MemberList MemberListOf(const std::vector<MemberRecord>& members);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_OPERATOR_H_

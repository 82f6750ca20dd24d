// SPDX-License-Identifier: Apache-2.0
//
// The site agent's own folder (--dir, default ./attune-site), readable by its owner only:
//
//   site.yaml                         the site's tables and how they read in the study's terms
//   policy.yaml                       what may leave this site (policy.h)
//   ledger/                           on whom sums were released (ledger.h)
//   identity/key.pem certificate.pem ca.pem identity.json
//            server-ca.pem            authority of the coordinator's certificate, where it is not the consortium's (ca.pem)
//   audit/                            what happened here (site_agent/audit.h)
//   folder.pb                         by folder: which of its files are the newest (common/transport/signed_folder.h)
//   studies/<study>/study.pb          the coordinator's last GetStudyReply
//                   attachment-<what> files of the study: "mask"
//                   manifest.bin      canonical bytes of the approved manifest
//                   approval.json     what was approved
//                   question-<r>.bundle
//                   own-<r>.bundle    this site's filled forms, one part per batch, also under "pooled"; they stay here
//                   answer-<r>.bundle what was sent
//                   aggregation.json  the attempt at a round of secure aggregation that this site takes part in
//                   aggregation-*     its keys (wiped when they have served), what was sent and what came, until the next
//                   attempt inputs.json       digests of the tables at the time of answering correction-common.bundle
//                   correction-site.bundle output.json       where the harmonized data are being written
#ifndef ATTUNE_SITE_AGENT_HOME_H_
#define ATTUNE_SITE_AGENT_HOME_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/site_state.pb.h"
#include "attune/v1/study.pb.h"

namespace attune {

// A manifest that this site has, with its name.
struct HeldManifest {
  v1::Manifest manifest;
  std::string sha256;
};

inline constexpr char kAggregationSecretsFile[] = "aggregation-secrets.pb";

// The files of one study. Only paths and small files: what they mean is agent.h's. Thread-compatible.
class StudyFolder {
 public:
  explicit StudyFolder(std::string path) : path_(std::move(path)) {}

  std::string File(absl::string_view name) const;
  std::string QuestionPath(std::uint32_t round) const;
  std::string OwnPath(std::uint32_t round) const;
  std::string AnswerPath(std::uint32_t round) const;
  // A file of the study, by what it is for (wire/manifest.h).
  std::string AttachmentPath(absl::string_view name) const { return File(absl::StrCat("attachment-", name)); }

  // Each read is NotFound when there is no such file yet, and DataLoss when it is damaged.
  absl::StatusOr<v1::GetStudyReply> ReadStudy() const;
  absl::Status WriteStudy(const v1::GetStudyReply& reply) const;

  absl::StatusOr<HeldManifest> ReadManifest() const;
  absl::StatusOr<v1::Approval> ReadApproval() const;
  // Keeps the manifest (canonical bytes) and its approval. When another manifest was approved before, what was exchanged under
  // it is removed: it is bound to that manifest and of no use.
  absl::Status Approve(absl::string_view manifest_bytes, const v1::Approval& approval) const;

  absl::StatusOr<v1::AggregationState> ReadAggregation() const;
  absl::Status WriteAggregation(const v1::AggregationState& state) const;
  // Removes every aggregation-* file; what was secret is overwritten first.
  absl::Status ClearAggregation() const;

  absl::StatusOr<v1::AnsweredInputs> ReadInputs() const;
  absl::Status WriteInputs(const v1::AnsweredInputs& inputs) const;
  absl::StatusOr<v1::OutputClaim> ReadOutputClaim() const;
  absl::Status WriteOutputClaim(const v1::OutputClaim& claim) const;

  // The last round that this site has answered; 0: none.
  std::uint32_t LastAnsweredRound() const;

 private:
  std::string path_;
};

class Home {
 public:
  // Touches nothing.
  explicit Home(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string IdentityFile(absl::string_view name) const;
  std::string FolderStatePath() const { return path_ + "/folder.pb"; }

  // FailedPrecondition, telling the command, when this site has not enrolled.
  absl::StatusOr<v1::AgentIdentity> ReadIdentity() const;
  // Written last of the identity's files: its presence means that enrolment is complete.
  absl::Status WriteIdentity(const v1::AgentIdentity& identity) const;
  // Creates the folder of the identity.
  absl::Status MakeIdentityFolder() const;

  // site.yaml of this folder. NotFound tells what to write.
  absl::StatusOr<v1::SiteConfig> ReadSiteConfig() const;

  std::string PolicyPath() const { return path_ + "/policy.yaml"; }
  std::string LedgerFolder() const { return path_ + "/ledger"; }

  // The folder of a study, created when it is missing. InvalidArgument when `study` cannot be a study's name.
  absl::StatusOr<StudyFolder> Study(const std::string& study) const;

 private:
  std::string path_;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_HOME_H_

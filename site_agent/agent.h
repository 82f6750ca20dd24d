// SPDX-License-Identifier: Apache-2.0
//
// The agent's loop: asks the coordinator what is next, and does it.
#ifndef ATTUNE_SITE_AGENT_AGENT_H_
#define ATTUNE_SITE_AGENT_AGENT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/security/aggregation.h"
#include "common/transport/courier.h"
#include "site_agent/audit.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/site_study.h"

namespace attune {

struct RunOptions {
  std::string out;                         // the derivative folder that is written
  ImageType output = ImageType::kFloat32;  // with images
  int threads = 1;                         // never changes a byte
  bool force = false;
  bool plain_sums = false;  // gate.h, CheckRelease
  // This site's key and certificate, which sign its part of secure aggregation. Needed where the manifest asks for it.
  aggregation::Signer signer;
  SiteAudit* audit = nullptr;  // records what is asked, released and refused; null: nobody keeps a record. Not owned
  // How long the coordinator may have nothing new to do before the run ends with Unavailable. Infinite over a network, where
  // asking is waiting; by folder, until somebody brings the folder.
  absl::Duration wait_limit = absl::InfiniteDuration();
};

// Takes part in an approved study until this site's data are harmonized and that is reported. Killed at any moment and called
// again with the same data, it goes on and sends the same bytes. Fails, having told the coordinator which kind of reason it is
// and nothing else, with PermissionDenied at the gate, FailedPrecondition or InvalidArgument on the data, and DataLoss when the
// correction is not what this site's own fit gives; with AlreadyExists, before anything is sent, when the output exists; with
// the courier's codes when the coordinator cannot be reached; and with FailedPrecondition when the study failed or was closed.
absl::Status RunStudy(const SiteStudy& study, const SiteTables& tables, const RunOptions& options, Courier* courier);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_AGENT_H_

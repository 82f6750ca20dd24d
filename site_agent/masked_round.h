// SPDX-License-Identifier: Apache-2.0
//
// This site's part of one attempt at a round of secure aggregation (docs/protocol.md). Everything is kept in the study's folder
// before it leaves, so that a site that was killed goes on with the same bytes, and never says two things in one attempt.
#ifndef ATTUNE_SITE_AGENT_MASKED_ROUND_H_
#define ATTUNE_SITE_AGENT_MASKED_ROUND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/site_state.pb.h"
#include "common/kernel/method.h"
#include "common/security/aggregation.h"
#include "site_agent/site_study.h"

namespace attune {

class MaskedRound {
 public:
  // `signer`: this site's key and certificate, of the key that the manifest names.
  MaskedRound(const SiteStudy& study, const aggregation::Signer& signer, std::uint32_t round, std::uint32_t attempt,
              std::string question_sha256);

  // Takes part in the attempt, or goes on with it. NotFound: this site took part and lost its keys, or joins in the middle: the
  // coordinator has to begin another attempt. PermissionDenied: a later attempt has begun here before.
  absl::Status Begin(v1::AggregationStep step);

  // Where what comes from the coordinator in this attempt is kept: key_roster, shares, survivors, signatures.
  std::string ReceivedPath(absl::string_view what) const;

  // This site's message of the step, kept at MessagePath(step); `form` is the question's, `threads` change no byte.
  // PermissionDenied where this site must not go on (aggregation.h), and when the sums of this site are not those that it
  // masked in this attempt before. FailedPrecondition when an entry does not fit into fixed point, naming block and remedy.
  absl::StatusOr<v1::UploadHeader> Message(v1::AggregationStep step, const Form& form, int threads);
  std::string MessagePath(v1::AggregationStep step) const;

 private:
  absl::Status WriteMasked(const Form& form, int threads);
  absl::Status WriteMessage(v1::AggregationStep step, const Form& form, int threads);
  absl::StatusOr<std::string> Received(absl::string_view what) const;
  absl::StatusOr<v1::SessionSecrets> Secrets() const;

  const SiteStudy& study_;
  const aggregation::Signer& signer_;
  const std::string question_sha256_;
  aggregation::Terms terms_;
  v1::AggregationState state_;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_MASKED_ROUND_H_

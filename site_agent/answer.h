// SPDX-License-Identifier: Apache-2.0
//
// This site's answers: computed behind the gate, kept, and never computed twice differently for one round.
#ifndef ATTUNE_SITE_AGENT_ANSWER_H_
#define ATTUNE_SITE_AGENT_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/coordinator.pb.h"
#include "site_agent/policy_rules.h"
#include "site_agent/site_study.h"

namespace attune {

// Everything that the gate asks before `question` may be answered from `tables` (gate.h).
absl::Status CheckGate(const SiteStudy& study, const SiteTables& tables, const Question& question);

// The same rule by rule, for people who are to decide: what each asks, and what it says of these tables. Where this manifest is
// not approved yet, an approval that goes as far as the policy is assumed. Fails only when the tables or the release ledger
// cannot be read.
absl::StatusOr<std::vector<RuleResult>> JudgeRules(const SiteStudy& study, const SiteTables& tables, const Question& question);

// Below, `judged` gets what each rule said, where it is given.

// FailedPrecondition when this site has answered and the tables are not those it answered from.
absl::Status CheckInputsUnchanged(const SiteStudy& study, const SiteTables& tables);

// What the round's answer is uploaded as, when it was computed before, from the question of this digest, which lies at
// QuestionPath(round), and from these tables. It passes the gate again. NotFound: there is none yet. PermissionDenied: the
// gate's, or it answers another question of this round; a second one is never answered.
absl::StatusOr<v1::UploadHeader> KeptAnswer(const SiteStudy& study, const SiteTables& tables, std::uint32_t round,
                                            const std::string& question_sha256, std::vector<RuleResult>* judged = nullptr);

// Answers the question that lies at QuestionPath(round) under that digest: fills the forms while everybody is looked at, asks
// the gate, puts the release into the ledger, keeps own-<r>.bundle and answer-<r>.bundle (under per_batch one file of two
// names). A process that is killed in between computes the same bytes again.
absl::StatusOr<v1::UploadHeader> ComputeAnswer(const SiteStudy& study, const SiteTables& tables, std::uint32_t round,
                                               const std::string& question_sha256, int threads,
                                               std::vector<RuleResult>* judged = nullptr);

// The question that lies at QuestionPath(round).
absl::StatusOr<Question> KeptQuestion(const SiteStudy& study, std::uint32_t round);

// Under secure aggregation: own-<r>.bundle of `question`, filled behind the gate; what was filled before passes the gate again.
// PermissionDenied: the gate's, or it was filled for another question of this round.
absl::Status KeepOwnForms(const SiteStudy& study, const SiteTables& tables, const Question& question,
                          const std::string& question_sha256, int threads, std::vector<RuleResult>* judged = nullptr);

// Writes round 1's question, which follows from the manifest alone, to its place; returns its digest.
absl::StatusOr<std::string> WriteFirstQuestion(const SiteStudy& study);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_ANSWER_H_

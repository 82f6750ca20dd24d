// SPDX-License-Identifier: Apache-2.0
#include "site_agent/answer.h"

#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/kernel/fold.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "site_agent/gate.h"
#include "site_agent/ledger.h"
#include "site_agent/survey.h"

namespace attune {
namespace {

BundleBinding BindingOf(const SiteStudy& study, std::uint32_t round, const std::string& question_sha256 = "") {
  return {.manifest_sha256 = study.held.sha256, .round = round, .question_sha256 = question_sha256};
}

absl::StatusOr<v1::UploadHeader> HeaderOf(const SiteStudy& study, std::uint32_t round, const std::string& sha256) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(study.folder.AnswerPath(round), error);
  if (error) return absl::InternalError(absl::StrCat("cannot read '", study.folder.AnswerPath(round), "': ", error.message()));
  v1::UploadHeader header;
  header.set_study(study.name());
  header.set_manifest_sha256(study.held.sha256);
  header.set_round(round);
  header.mutable_bundle()->set_sha256(sha256);
  header.mutable_bundle()->set_size(size);
  return header;
}

absl::Status AskedTwice(const SiteStudy& study, std::uint32_t round, const std::string& question_sha256, const Bundle& answer) {
  return absl::PermissionDeniedError(absl::StrCat("the coordinator asks round ", round, " of study '", study.name(),
                                                  "' again with another question (", question_sha256, ", answered was ",
                                                  answer.header.question_sha256(), "): a round is answered once"));
}

}  // namespace

absl::StatusOr<Question> KeptQuestion(const SiteStudy& study, std::uint32_t round) {
  ATTUNE_ASSIGN_OR_RETURN(const Bundle bundle,
                          OpenBundle(study.folder.QuestionPath(round), v1::BUNDLE_KIND_QUESTION, BindingOf(study, round)));
  return QuestionOf(bundle);
}

namespace {

// What CheckMissing asks, in words.
std::string MissingRule(const v1::StudyConfig& config, v1::MissingPermission permitted, std::uint32_t min_cell) {
  if (config.method().combat().missing() != v1::MISSING_VALUES_ALLOW) return "missing values: the study allows none (missing)";
  if (permitted == v1::MISSING_PERMISSION_ANY_DIFFERENCE) {
    return "missing values: that features differ in a few people is allowed by this site's approval (missing)";
  }
  return absl::StrCat("missing values: no two features whose people differ in 1 to ", min_cell - 1, " (missing)");
}

// The rules' verdicts, and the people they were on.
struct Judgement {
  std::vector<RuleResult> rules;
  std::vector<BatchSurvey> people;
};

// An approval of another manifest says nothing of this one.
std::optional<v1::Approval> ApprovalOf(const SiteStudy& study) {
  if (study.approval.has_value() && study.approval->manifest_sha256() == study.held.sha256) return study.approval;
  return std::nullopt;
}

PlannedRelease PlannedReleaseOf(const SiteStudy& study) {
  PlannedRelease release{.study = study.name(), .manifest_sha256 = study.held.sha256};
  if (const auto approval = ApprovalOf(study)) release.override_reason = approval->override_ledger();
  return release;
}

// What needs no look at people: judged before their data are read.
std::vector<RuleResult> JudgeStudy(const SiteStudy& study, const SiteTables& tables, const Question& question) {
  const v1::StudyConfig& config = study.held.manifest.config();
  const std::string at_least =
      absl::StrCat(config.method().combat().small_batches() == v1::SMALL_BATCHES_MEAN_ONLY ? 1 : MinBatchSizeOf(config));
  return {
      {"the question is the method's own", CheckQuestion(*study.method, study.facts, question)},
      {"the tables have the batches that were registered", CheckBatchesAreRegistered(study, *tables.data)},
      {absl::StrCat("the study: at least ", at_least, " subjects a batch"), CheckBatchSizes(config, tables.data->batches())},
      SitesRule(study.policy, study.held.manifest),
      ReferenceBatchRule(study.held.manifest, study.site, ApprovalOf(study))};
}

PeopleSurvey SurveyOf(const SiteStudy& study, const Ledger& ledger) {
  const bool missing = study.held.manifest.config().method().combat().missing() == v1::MISSING_VALUES_ALLOW;
  return PeopleSurvey(study.facts.covariates, study.facts.features.size(), {.missing = missing, .ledger_key = ledger.key()});
}

absl::StatusOr<std::vector<BatchSurvey>> Survey(const SiteStudy& study, const SiteTables& tables, const Ledger& ledger) {
  PeopleSurvey survey = SurveyOf(study, ledger);
  ATTUNE_RETURN_IF_ERROR(tables.data->ForEach([&](const Subject& subject) { return survey.Add(subject); }));
  return std::move(survey).Finish();
}

absl::StatusOr<Judgement> Judge(const SiteStudy& study, const SiteTables& tables, const Question& question,
                                const Ledger& ledger, std::vector<BatchSurvey> people) {
  const v1::StudyConfig& config = study.held.manifest.config();
  const v1::SitePolicy& policy = study.policy;
  const std::optional<v1::Approval> approval = ApprovalOf(study);
  Judgement judgement{JudgeStudy(study, tables, question), std::move(people)};
  const absl::Status missing = CheckMissing(config, policy, approval, study.facts.features, *tables.data);
  if (!missing.ok() && !absl::IsPermissionDenied(missing)) return missing;
  for (RuleResult& rule : JudgePolicy(policy, config, study.facts.features, judgement.people)) {
    judgement.rules.push_back(std::move(rule));
  }
  judgement.rules.push_back({MissingRule(config, PermittedMissing(policy, approval), policy.min_cell()), missing});
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<RuleResult> ledgers,
                          ledger.Judge(PlannedReleaseOf(study), policy, judgement.people));
  judgement.rules.insert(judgement.rules.end(), ledgers.begin(), ledgers.end());
  return judgement;
}

// Judges, and puts the release on record: before its first byte leaves.
absl::Status PassGateAndRecord(const SiteStudy& study, const SiteTables& tables, const Question& question, const Ledger& ledger,
                               std::vector<BatchSurvey> people, std::vector<RuleResult>* judged) {
  ATTUNE_ASSIGN_OR_RETURN(const Judgement judgement, Judge(study, tables, question, ledger, std::move(people)));
  if (judged != nullptr) *judged = judgement.rules;
  ATTUNE_RETURN_IF_ERROR(FirstBroken(judgement.rules));
  ATTUNE_RETURN_IF_ERROR(ledger.Record(PlannedReleaseOf(study), study.policy, judgement.people));
  CrashPoint("site.release_recorded");
  return absl::OkStatus();
}

// The same for what was computed before.
absl::Status PassGateAgain(const SiteStudy& study, const SiteTables& tables, const Question& question,
                           std::vector<RuleResult>* judged) {
  ATTUNE_RETURN_IF_ERROR(CheckApproved(study.name(), study.held.sha256, study.approval));
  ATTUNE_ASSIGN_OR_RETURN(const Ledger ledger, Ledger::Open(study.ledger_folder));
  ATTUNE_ASSIGN_OR_RETURN(std::vector<BatchSurvey> people, Survey(study, tables, ledger));
  return PassGateAndRecord(study, tables, question, ledger, std::move(people), judged);
}

// What this site keeps of the rounds before `round`.
absl::StatusOr<std::map<BatchId, SiteState>> EarlierRounds(const SiteStudy& study, std::uint32_t round) {
  std::map<BatchId, SiteState> states;
  for (std::uint32_t earlier = 1; earlier < round; ++earlier) {
    ATTUNE_ASSIGN_OR_RETURN(Bundle own,
                            OpenBundle(study.folder.OwnPath(earlier), v1::BUNDLE_KIND_ANSWER, BindingOf(study, earlier)));
    for (const BatchId& batch : study.batches) {
      const auto part = own.parts.find(batch);
      if (part == own.parts.end()) {
        return absl::DataLossError(absl::StrCat("'", study.folder.OwnPath(earlier), "' has no part of batch '", batch, "'"));
      }
      states[batch].earlier.push_back(std::move(part->second));
    }
  }
  return states;
}

}  // namespace

absl::StatusOr<std::vector<RuleResult>> JudgeRules(const SiteStudy& study, const SiteTables& tables, const Question& question) {
  ATTUNE_ASSIGN_OR_RETURN(const Ledger ledger, Ledger::Open(study.ledger_folder));
  ATTUNE_ASSIGN_OR_RETURN(std::vector<BatchSurvey> people, Survey(study, tables, ledger));
  ATTUNE_ASSIGN_OR_RETURN(Judgement judgement, Judge(study, tables, question, ledger, std::move(people)));
  return std::move(judgement.rules);
}

absl::Status CheckGate(const SiteStudy& study, const SiteTables& tables, const Question& question) {
  ATTUNE_RETURN_IF_ERROR(CheckApproved(study.name(), study.held.sha256, study.approval));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<RuleResult> rules, JudgeRules(study, tables, question));
  return FirstBroken(rules);
}

absl::Status CheckInputsUnchanged(const SiteStudy& study, const SiteTables& tables) {
  // Masked sums are of forms that were filled before their first step.
  const bool masked = study.held.manifest.has_aggregation();
  const bool answered = masked ? FileExists(study.folder.OwnPath(1)) : study.folder.LastAnsweredRound() > 0;
  if (!answered) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const v1::AnsweredInputs then, study.folder.ReadInputs());
  bool same = then.files_size() == static_cast<int>(tables.inputs.size());
  std::string changed = "their number";
  for (int i = 0; same && i < then.files_size(); ++i) {
    same = then.files(i).sha256() == tables.inputs[static_cast<std::size_t>(i)].sha256();
    if (!same) changed = absl::StrCat("'", then.files(i).file(), "'");
  }
  if (same) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the data changed since this site answered study '", study.name(), "' (", changed,
                   "): put the files back as they were to finish it; new people of known batches are harmonized with "
                   "'attune-site apply', other data need a new study"));
}

absl::StatusOr<v1::UploadHeader> KeptAnswer(const SiteStudy& study, const SiteTables& tables, std::uint32_t round,
                                            const std::string& question_sha256, std::vector<RuleResult>* judged) {
  const std::string path = study.folder.AnswerPath(round);
  if (!FileExists(path)) return absl::NotFoundError(absl::StrCat("round ", round, " is not answered yet"));
  ATTUNE_ASSIGN_OR_RETURN(const Bundle answer, OpenBundle(path, v1::BUNDLE_KIND_ANSWER, BindingOf(study, round)));
  if (answer.header.question_sha256() != question_sha256) return AskedTwice(study, round, question_sha256, answer);
  ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study, tables));
  // Policy and approval may have been narrowed since.
  ATTUNE_ASSIGN_OR_RETURN(const Question question, KeptQuestion(study, round));
  ATTUNE_RETURN_IF_ERROR(PassGateAgain(study, tables, question, judged));
  ATTUNE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
  return HeaderOf(study, round, sha256);
}

namespace {

// A site's cohort, surveyed while something else goes through it: images are read once for both.
class SurveyedCohort final : public Cohort {
 public:
  SurveyedCohort(const Cohort& cohort, PeopleSurvey* survey) : cohort_(cohort), survey_(survey) {}

  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    const absl::Status status = cohort_.ForEach([&](const Subject& subject) {
      ATTUNE_RETURN_IF_ERROR(survey_->Add(subject));
      return visit(subject);
    });
    surveyed_ = status.ok();
    return status;
  }

  // Whether everybody was looked at.
  bool surveyed() const { return surveyed_; }

 private:
  const Cohort& cohort_;
  PeopleSurvey* survey_;  // not owned
  mutable bool surveyed_ = false;
};

struct FilledForms {
  std::map<BatchId, Summary> by_batch;
  std::string sha256;  // of the file that keeps them
};

absl::StatusOr<FilledForms> FillForms(const SiteStudy& study, const SiteTables& tables, const Question& question,
                                      const std::string& question_sha256, int threads, std::vector<RuleResult>* judged) {
  ATTUNE_ASSIGN_OR_RETURN(const auto states, EarlierRounds(study, question.round));
  // What the question asks is settled before any data are read.
  ATTUNE_RETURN_IF_ERROR(CheckQuestion(*study.method, study.facts, question));
  const BatchId& first = study.batches.front();
  const auto state = states.find(first);
  ATTUNE_RETURN_IF_ERROR(
      CheckBody(*study.method, study.facts, question, first, state == states.end() ? SiteState() : state->second));
  ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study, tables));
  ATTUNE_RETURN_IF_ERROR(CheckApproved(study.name(), study.held.sha256, study.approval));
  ATTUNE_RETURN_IF_ERROR(FirstBroken(JudgeStudy(study, tables, question)));

  ATTUNE_ASSIGN_OR_RETURN(const Ledger ledger, Ledger::Open(study.ledger_folder));
  PeopleSurvey survey = SurveyOf(study, ledger);
  const SurveyedCohort cohort(*tables.data, &survey);
  absl::StatusOr<std::map<BatchId, Summary>> filled =
      AnswerQuestion(*study.method, study.facts, question, study.batches, cohort, states, threads);
  std::vector<BatchSurvey> people;
  if (cohort.surveyed()) {
    people = std::move(survey).Finish();
  } else {
    ATTUNE_RETURN_IF_ERROR(filled.status());
    ATTUNE_ASSIGN_OR_RETURN(people, Survey(study, tables, ledger));
  }
  // The gate speaks first: what it refuses, nobody needs to mend.
  if (!filled.ok()) {
    ATTUNE_ASSIGN_OR_RETURN(const Judgement judgement, Judge(study, tables, question, ledger, std::move(people)));
    ATTUNE_RETURN_IF_ERROR(FirstBroken(judgement.rules));
    return filled.status();
  }
  ATTUNE_RETURN_IF_ERROR(PassGateAndRecord(study, tables, question, ledger, std::move(people), judged));
  v1::AnsweredInputs inputs;
  inputs.set_manifest_sha256(study.held.sha256);
  inputs.mutable_files()->Add(tables.inputs.begin(), tables.inputs.end());
  ATTUNE_RETURN_IF_ERROR(study.folder.WriteInputs(inputs));
  FilledForms forms{*std::move(filled), ""};
  ATTUNE_ASSIGN_OR_RETURN(forms.sha256, WriteAnswer(study.folder.OwnPath(question.round),
                                                    BindingOf(study, question.round, question_sha256), forms.by_batch));
  CrashPoint("site.own_written");
  return forms;
}

}  // namespace

absl::Status KeepOwnForms(const SiteStudy& study, const SiteTables& tables, const Question& question,
                          const std::string& question_sha256, int threads, std::vector<RuleResult>* judged) {
  const std::string path = study.folder.OwnPath(question.round);
  if (!FileExists(path)) return FillForms(study, tables, question, question_sha256, threads, judged).status();
  ATTUNE_ASSIGN_OR_RETURN(const Bundle own, OpenBundle(path, v1::BUNDLE_KIND_ANSWER, BindingOf(study, question.round)));
  if (own.header.question_sha256() != question_sha256) return AskedTwice(study, question.round, question_sha256, own);
  ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study, tables));
  return PassGateAgain(study, tables, question, judged);
}

absl::StatusOr<v1::UploadHeader> ComputeAnswer(const SiteStudy& study, const SiteTables& tables, std::uint32_t round,
                                               const std::string& question_sha256, int threads,
                                               std::vector<RuleResult>* judged) {
  if (round != study.folder.LastAnsweredRound() + 1) {
    return absl::PermissionDeniedError(absl::StrCat("round ", round, " of study '", study.name(), "' cannot follow on round ",
                                                    study.folder.LastAnsweredRound(), ", the last one answered here"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Question question, KeptQuestion(study, round));
  ATTUNE_ASSIGN_OR_RETURN(const FilledForms filled, FillForms(study, tables, question, question_sha256, threads, judged));
  const std::string path = study.folder.AnswerPath(round);
  std::string sha256 = filled.sha256;
  if (study.facts.release == Release::kPooled) {
    std::map<std::string, Summary> sent;
    ATTUNE_ASSIGN_OR_RETURN(sent[kSumPart], SumOf(question.form, filled.by_batch));
    ATTUNE_ASSIGN_OR_RETURN(sha256, WriteAnswer(path, BindingOf(study, round, question_sha256), sent));
  } else {
    // What is kept is what is sent.
    ATTUNE_RETURN_IF_ERROR(LinkOrCopyFile(study.folder.OwnPath(round), path, FileAccess::kOwnerOnly));
  }
  CrashPoint("site.answer_written");
  return HeaderOf(study, round, sha256);
}

absl::StatusOr<std::string> WriteFirstQuestion(const SiteStudy& study) {
  ATTUNE_ASSIGN_OR_RETURN(const Question question, study.method->Begin(study.facts));
  return WriteQuestion(study.folder.QuestionPath(1), BindingOf(study, 1), question);
}

}  // namespace attune

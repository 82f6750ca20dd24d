// SPDX-License-Identifier: Apache-2.0
#include "site_agent/agent.h"

#include <spdlog/spdlog.h>

#include <cstdint>
#include <iterator>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/wire/bundle.h"
#include "site_agent/answer.h"
#include "site_agent/follow.h"
#include "site_agent/gate.h"
#include "site_agent/harmonize.h"
#include "site_agent/masked_round.h"

namespace attune {
namespace {

constexpr std::uint32_t kLongPollMs = 10'000;
constexpr absl::Duration kBetweenPolls = absl::Milliseconds(100);

class Run {
 public:
  Run(const SiteStudy& study, const SiteTables& tables, const RunOptions& options, Courier* courier)
      : study_(study), tables_(tables), options_(options), courier_(courier) {}

  absl::Status UntilDone() {
    ATTUNE_RETURN_IF_ERROR(CheckRelease(study_.held.manifest, options_.plain_sums));
    ATTUNE_RETURN_IF_ERROR(CheckSigner(study_, options_.signer));
    ATTUNE_RETURN_IF_ERROR(CheckOutputFree(study_, options_.out, options_.force));
    v1::NextRequest request;
    request.set_study(study_.name());
    request.set_manifest_sha256(study_.held.sha256);
    const bool never_waits = options_.wait_limit <= absl::ZeroDuration();
    request.set_wait_ms(never_waits ? 0 : kLongPollMs);
    absl::Time idle_since = absl::Now();
    std::string told;
    for (;;) {
      const absl::Time asked = absl::Now();
      ATTUNE_ASSIGN_OR_RETURN(v1::NextReply reply, courier_->Next(request));
      // What goes to a terminal or a log must not command it.
      reply.set_message(std::string(Printable(absl::UnknownError(reply.message())).message()));
      if (reply.manifest_sha256() != study_.held.sha256) {
        return absl::FailedPreconditionError(absl::StrCat("the coordinator replies for the manifest '", reply.manifest_sha256(),
                                                          "', this site approved ", study_.held.sha256,
                                                          ": ask the coordinator's operator"));
      }
      switch (reply.task()) {
        case v1::NextReply::TASK_WAIT: {
          const absl::Time now = absl::Now();
          if (now - idle_since >= options_.wait_limit) {
            return absl::UnavailableError(absl::StrCat("nothing to do now: ", reply.message()));
          }
          if (reply.message() != told) spdlog::info("waiting: {}", reply.message());
          told = reply.message();
          // A coordinator that does not hold the call must not be asked in a hot loop.
          if (now - asked < kBetweenPolls) absl::SleepFor(kBetweenPolls);
          break;
        }
        case v1::NextReply::TASK_ANSWER:
          ATTUNE_RETURN_IF_ERROR(Answer(reply));
          idle_since = absl::Now();
          break;
        case v1::NextReply::TASK_AGGREGATE:
          ATTUNE_RETURN_IF_ERROR(Aggregate(request, reply));
          idle_since = absl::Now();
          break;
        case v1::NextReply::TASK_CORRECT:
          return Correct(reply);
        case v1::NextReply::TASK_DONE:
          return Done();
        case v1::NextReply::TASK_STOPPED:
          stopped_by_coordinator_ = true;
          return absl::FailedPreconditionError(absl::StrCat("study '", study_.name(), "' was stopped: ", reply.message()));
        default:
          return absl::FailedPreconditionError(absl::StrCat("the coordinator asks for task ", static_cast<int>(reply.task()),
                                                            ", which this version does not know"));
      }
    }
  }

  // Tells the coordinator the kind of a final failure. That this may fail too does not matter: the error itself is returned.
  void ReportFailure(const absl::Status& status) {
    RecordFailure(status);
    if (stopped_by_coordinator_) return;
    switch (status.code()) {
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kDeadlineExceeded:
      case absl::StatusCode::kUnauthenticated:
      case absl::StatusCode::kResourceExhausted:
      case absl::StatusCode::kAlreadyExists:
        return;
      case absl::StatusCode::kPermissionDenied:
        Report(v1::SITE_STATE_REFUSED_BY_POLICY).IgnoreError();
        return;
      default:
        Report(ExitCodeOf(status) == ExitCode::kDataCheck ? v1::SITE_STATE_STOPPED_BY_DATA_CHECK
                                                          : v1::SITE_STATE_STOPPED_BY_ERROR)
            .IgnoreError();
    }
  }

 private:
  void RecordFailure(const absl::Status& status) {
    if (options_.audit == nullptr || absl::IsUnavailable(status)) return;
    const absl::Status recorded = absl::IsPermissionDenied(status)
                                      ? options_.audit->Refused(study_.name(), "gate", status.message())
                                      : options_.audit->Failed(study_.name(), status);
    if (!recorded.ok()) spdlog::error("{}", recorded.ToString(absl::StatusToStringMode::kWithNoExtraData));
  }

  absl::Status RecordQuestion(std::uint32_t round, const std::string& question_sha256) {
    if (options_.audit == nullptr || last_asked_ == question_sha256) return absl::OkStatus();
    last_asked_ = question_sha256;
    return options_.audit->Asked(study_.held, round, question_sha256);
  }

  // Before the first byte leaves: what cannot be put on record is not sent.
  absl::Status RecordRelease(const v1::UploadHeader& header, const Form& form) {
    if (options_.audit == nullptr || last_released_ == header.bundle().sha256()) return absl::OkStatus();
    last_released_ = header.bundle().sha256();
    std::vector<std::string> blocks;
    for (const BlockSpec& block : form) blocks.push_back(absl::StrCat(block.name, " ", block.rows, "x", block.cols));
    std::vector<std::string> rules;
    for (const RuleResult& rule : judged_)
      rules.push_back(absl::StrCat(rule.rule, ": ", rule.result.ok() ? "passed" : "REFUSED"));
    return options_.audit->Released(study_.held, {.round = header.round(),
                                                  .attempt = header.attempt(),
                                                  .step = static_cast<std::uint32_t>(header.step()),
                                                  .bundle_sha256 = header.bundle().sha256(),
                                                  .bytes = header.bundle().size(),
                                                  .shape = absl::StrJoin(blocks, ", "),
                                                  .rules = absl::StrJoin(rules, "; ")});
  }

  absl::Status Fetch(const v1::BundleRef& ref, const std::string& path) {
    if (const auto here = Sha256OfFile(path); here.ok() && *here == ref.sha256()) return absl::OkStatus();
    v1::FetchRequest request;
    request.set_study(study_.name());
    request.set_manifest_sha256(study_.held.sha256);
    request.set_sha256(ref.sha256());
    return courier_->Fetch(request, ref.size(), path);
  }

  absl::Status Answer(const v1::NextReply& reply) {
    if (reply.bundles_size() < 1)
      return absl::InvalidArgumentError("the coordinator asks a question without saying where it is");
    if (study_.held.manifest.has_aggregation()) {
      return absl::PermissionDeniedError(
          absl::StrCat("the coordinator asks for a plain answer, and the approved manifest of study '", study_.name(),
                       "' has its sums masked"));
    }
    const std::string& question = reply.bundles(0).sha256();
    ATTUNE_RETURN_IF_ERROR(RecordQuestion(reply.round(), question));
    // Before the question is fetched: another one for the same round must not take the place of the one that was answered.
    absl::StatusOr<v1::UploadHeader> header = KeptAnswer(study_, tables_, reply.round(), question, &judged_);
    if (absl::IsNotFound(header.status())) {
      ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(0), study_.folder.QuestionPath(reply.round())));
      header = KeptAnswer(study_, tables_, reply.round(), question, &judged_);
    }
    if (absl::IsNotFound(header.status())) {
      spdlog::info("study '{}': answering round {}", study_.name(), reply.round());
      header = ComputeAnswer(study_, tables_, reply.round(), question, options_.threads, &judged_);
    }
    ATTUNE_RETURN_IF_ERROR(header.status());
    ATTUNE_ASSIGN_OR_RETURN(const Question asked, KeptQuestion(study_, reply.round()));
    ATTUNE_RETURN_IF_ERROR(RecordRelease(*header, asked.form));
    ATTUNE_RETURN_IF_ERROR(courier_->Submit(*header, study_.folder.AnswerPath(reply.round())));
    CrashPoint("site.submitted");
    spdlog::info("study '{}': round {} is answered ({} bytes)", study_.name(), reply.round(), header->bundle().size());
    return absl::OkStatus();
  }

  // One step of secure aggregation.
  absl::Status Aggregate(const v1::NextRequest& request, const v1::NextReply& reply) {
    if (!study_.held.manifest.has_aggregation()) {
      return absl::PermissionDeniedError(absl::StrCat(
          "the coordinator asks for a masked sum, which the approved manifest of study '", study_.name(), "' does not have"));
    }
    bool by_coordinator = false;
    const absl::Status done = AggregateStep(reply, &by_coordinator);
    if (done.ok() || !by_coordinator) return done;
    // The step or the attempt may have ended while this site was at it.
    v1::NextRequest now = request;
    now.set_wait_ms(0);
    ATTUNE_ASSIGN_OR_RETURN(const v1::NextReply next, courier_->Next(now));
    const bool same = next.task() == reply.task() && next.round() == reply.round() && next.attempt() == reply.attempt() &&
                      next.step() == reply.step();
    return same ? done : absl::OkStatus();
  }

  // `by_coordinator`: whether it was the coordinator who refused.
  absl::Status AggregateStep(const v1::NextReply& reply, bool* by_coordinator) {
    // In this order they come (coordinator.proto).
    static constexpr const char* kReceived[] = {"question", "key_roster", "shares", "survivors", "signatures"};
    const int expected = reply.step() == v1::AGGREGATION_STEP_UNSPECIFIED ? 1 : static_cast<int>(reply.step());
    if (!v1::AggregationStep_IsValid(reply.step()) || reply.bundles_size() != expected || expected > std::ssize(kReceived)) {
      return absl::InvalidArgumentError("the coordinator asks for a step of secure aggregation without what belongs to it");
    }
    const auto answered = [&](absl::Status status) {
      *by_coordinator = !status.ok();
      return status;
    };
    const std::string& question_sha256 = reply.bundles(0).sha256();
    ATTUNE_RETURN_IF_ERROR(RecordQuestion(reply.round(), question_sha256));
    ATTUNE_RETURN_IF_ERROR(CheckQuestionIsTheFirst(reply.round(), question_sha256));
    MaskedRound round(study_, options_.signer, reply.round(), reply.attempt(), question_sha256);
    const absl::Status begun = round.Begin(reply.step());
    if (absl::IsNotFound(begun)) {
      spdlog::warn("study '{}': {}; asking for another attempt at round {}", study_.name(), std::string(begun.message()),
                   reply.round());
      return answered(Report(v1::SITE_STATE_SESSION_LOST, reply.round(), reply.attempt()));
    }
    ATTUNE_RETURN_IF_ERROR(begun);
    ATTUNE_RETURN_IF_ERROR(answered(Fetch(reply.bundles(0), study_.folder.QuestionPath(reply.round()))));
    for (int k = 1; k < expected; ++k) {
      const std::string path = round.ReceivedPath(kReceived[k]);
      if (const auto kept = Sha256OfFile(path); kept.ok() && *kept != reply.bundles(k).sha256()) {
        return absl::PermissionDeniedError(absl::StrCat("the coordinator shows another ", kReceived[k], " in attempt ",
                                                        reply.attempt(), " at round ", reply.round(), " of study '",
                                                        study_.name(), "' than before"));
      }
      ATTUNE_RETURN_IF_ERROR(answered(Fetch(reply.bundles(k), path)));
    }
    ATTUNE_ASSIGN_OR_RETURN(const Question question, QuestionToAnswer(reply, by_coordinator));
    // The forms are filled before this site joins, and judged again before they leave, masked.
    if (reply.step() == v1::AGGREGATION_STEP_KEYS || reply.step() == v1::AGGREGATION_STEP_MASKED) {
      ATTUNE_RETURN_IF_ERROR(KeepOwnForms(study_, tables_, question, question_sha256, options_.threads, &judged_));
    }
    ATTUNE_ASSIGN_OR_RETURN(const v1::UploadHeader header, round.Message(reply.step(), question.form, options_.threads));
    ATTUNE_RETURN_IF_ERROR(RecordRelease(header, reply.step() == v1::AGGREGATION_STEP_MASKED ? question.form : Form()));
    ATTUNE_RETURN_IF_ERROR(answered(courier_->Submit(header, round.MessagePath(reply.step()))));
    CrashPoint("site.submitted");
    spdlog::info("study '{}': step {} of 5 of round {} is done ({} bytes)", study_.name(), static_cast<int>(reply.step()),
                 reply.round(), header.bundle().size());
    return absl::OkStatus();
  }

  // A question that was fetched before must not be replaced by another of the same round.
  absl::Status CheckQuestionIsTheFirst(std::uint32_t round, const std::string& question_sha256) const {
    const absl::StatusOr<std::string> kept = Sha256OfFile(study_.folder.QuestionPath(round));
    if (!kept.ok() || *kept == question_sha256) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("the coordinator asks round ", round, " of study '", study_.name(),
                                                    "' again with another question: a round is answered once"));
  }

  // What the coordinator asks must be what follows from the sums that it shows; what is answered is what this site computed
  // itself.
  absl::StatusOr<Question> QuestionToAnswer(const v1::NextReply& reply, bool* by_coordinator) {
    ATTUNE_ASSIGN_OR_RETURN(Question question, KeptQuestion(study_, reply.round()));
    if (reply.round() == 1) return question;
    ATTUNE_ASSIGN_OR_RETURN(const auto follows, Follow(reply, by_coordinator));
    const auto* computed = std::get_if<Question>(&follows);
    if (computed == nullptr || computed->round != question.round || computed->form != question.form) {
      return absl::PermissionDeniedError(absl::StrCat("round ", reply.round(), " of study '", study_.name(),
                                                      "' does not follow from the sums that the coordinator shows"));
    }
    ATTUNE_RETURN_IF_ERROR(CheckSame(question.body, computed->body, absl::StrCat("the question of round ", reply.round())));
    return *computed;
  }

  absl::StatusOr<std::variant<Question, Correction>> Follow(const v1::NextReply& reply, bool* by_coordinator) {
    std::vector<std::string> paths;
    for (const v1::BundleRef& sum : reply.sums()) {
      paths.push_back(study_.folder.File(absl::StrCat("sum-", paths.size() + 1, ".bundle")));
      const absl::Status fetched = Fetch(sum, paths.back());
      *by_coordinator = !fetched.ok();
      ATTUNE_RETURN_IF_ERROR(fetched);
    }
    return FollowSums(study_, paths);
  }

  // The correction that came is replaced by the one that this site computed.
  absl::Status KeepOwnCorrection(const v1::NextReply& reply) {
    bool ignored = false;
    ATTUNE_ASSIGN_OR_RETURN(const auto follows, Follow(reply, &ignored));
    const auto* computed = std::get_if<Correction>(&follows);
    if (computed == nullptr) {
      return absl::PermissionDeniedError(
          absl::StrCat("study '", study_.name(), "' does not end with the sums that the coordinator shows"));
    }
    const std::string path = study_.folder.File(kCorrectionCommonFile);
    const BundleBinding binding{.manifest_sha256 = study_.held.sha256, .round = static_cast<std::uint32_t>(reply.sums_size())};
    std::string question_sha256;
    {
      ATTUNE_ASSIGN_OR_RETURN(const Bundle common, OpenBundle(path, v1::BUNDLE_KIND_CORRECTION_COMMON, binding));
      ATTUNE_ASSIGN_OR_RETURN(const Correction came, CorrectionOf(common, nullptr));
      ATTUNE_RETURN_IF_ERROR(CheckSame(came.common, computed->common, "the correction"));
      question_sha256 = common.header.question_sha256();
    }
    return WriteCorrectionCommon(path, {binding.manifest_sha256, binding.round, question_sha256}, *computed).status();
  }

  absl::Status Correct(const v1::NextReply& reply) {
    if (reply.bundles_size() < 1)
      return absl::InvalidArgumentError("the coordinator sends a correction without saying where it is");
    ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study_, tables_));
    ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(0), study_.folder.File(kCorrectionCommonFile)));
    const bool has_own = reply.bundles_size() > 1;
    if (has_own) ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(1), study_.folder.File(kCorrectionSiteFile)));
    if (study_.held.manifest.has_aggregation()) {
      if (has_own)
        return absl::InvalidArgumentError("the coordinator sends a correction of this site's own, which it cannot know");
      ATTUNE_RETURN_IF_ERROR(KeepOwnCorrection(reply));
      ATTUNE_RETURN_IF_ERROR(study_.folder.ClearAggregation());
    }
    CrashPoint("site.correction_fetched");
    ATTUNE_RETURN_IF_ERROR(
        HarmonizeFromCorrection(study_, tables_, has_own, options_.out, {options_.output, options_.threads}, options_.force));
    CrashPoint("site.harmonized");
    if (options_.audit != nullptr) ATTUNE_RETURN_IF_ERROR(options_.audit->Harmonized(study_.held, reply.bundles(0).sha256()));
    ATTUNE_RETURN_IF_ERROR(Report(v1::SITE_STATE_HARMONIZED));
    CrashPoint("site.reported");
    spdlog::info("study '{}': harmonized data are in {}", study_.name(), options_.out);
    return absl::OkStatus();
  }

  // This site reported before that its data are harmonized. Whoever runs it again wants them: where they are not at `out`, they
  // are made again from what this site kept.
  absl::Status Done() {
    if (!FileExists(study_.folder.File(kCorrectionCommonFile))) {
      return absl::FailedPreconditionError(absl::StrCat("study '", study_.name(),
                                                        "': this site has done its part, but its folder no longer holds what "
                                                        "was exchanged; the harmonized data are where that run wrote them"));
    }
    ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study_, tables_));
    const bool has_own = FileExists(study_.folder.File(kCorrectionSiteFile));
    ATTUNE_RETURN_IF_ERROR(
        HarmonizeFromCorrection(study_, tables_, has_own, options_.out, {options_.output, options_.threads}, options_.force));
    spdlog::info("study '{}': this site has done its part; harmonized data are in {}", study_.name(), options_.out);
    return absl::OkStatus();
  }

  absl::Status Report(v1::SiteState state, std::uint32_t round = 0, std::uint32_t attempt = 0) {
    v1::ReportRequest request;
    request.set_round(round);
    request.set_attempt(attempt);
    request.set_study(study_.name());
    request.set_manifest_sha256(study_.held.sha256);
    request.set_state(state);
    return courier_->Report(request);
  }

  const SiteStudy& study_;
  const SiteTables& tables_;
  const RunOptions& options_;
  Courier* courier_;
  bool stopped_by_coordinator_ = false;
  std::vector<RuleResult> judged_;  // what the gate said last
  std::string last_asked_;          // on record
  std::string last_released_;
};

}  // namespace

absl::Status RunStudy(const SiteStudy& study, const SiteTables& tables, const RunOptions& options, Courier* courier) {
  Run run(study, tables, options, courier);
  const absl::Status status = run.UntilDone();
  if (!status.ok()) run.ReportFailure(status);
  return status;
}

}  // namespace attune

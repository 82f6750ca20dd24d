// SPDX-License-Identifier: Apache-2.0
#include "site_agent/agent.h"

#include <spdlog/spdlog.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "site_agent/answer.h"
#include "site_agent/gate.h"
#include "site_agent/harmonize.h"

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
      ATTUNE_ASSIGN_OR_RETURN(const v1::NextReply reply, courier_->Next(request));
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
    const std::string& question = reply.bundles(0).sha256();
    // Before the question is fetched: another one for the same round must not take the place of the one that was answered.
    absl::StatusOr<v1::UploadHeader> header = KeptAnswer(study_, tables_, reply.round(), question);
    if (absl::IsNotFound(header.status())) {
      ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(0), study_.folder.QuestionPath(reply.round())));
      header = KeptAnswer(study_, tables_, reply.round(), question);
    }
    if (absl::IsNotFound(header.status())) {
      spdlog::info("study '{}': answering round {}", study_.name(), reply.round());
      header = ComputeAnswer(study_, tables_, reply.round(), question, options_.threads);
    }
    ATTUNE_RETURN_IF_ERROR(header.status());
    ATTUNE_RETURN_IF_ERROR(courier_->Submit(*header, study_.folder.AnswerPath(reply.round())));
    CrashPoint("site.submitted");
    spdlog::info("study '{}': round {} is answered ({} bytes)", study_.name(), reply.round(), header->bundle().size());
    return absl::OkStatus();
  }

  absl::Status Correct(const v1::NextReply& reply) {
    if (reply.bundles_size() < 1)
      return absl::InvalidArgumentError("the coordinator sends a correction without saying where it is");
    ATTUNE_RETURN_IF_ERROR(CheckInputsUnchanged(study_, tables_));
    ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(0), study_.folder.File(kCorrectionCommonFile)));
    const bool has_own = reply.bundles_size() > 1;
    if (has_own) ATTUNE_RETURN_IF_ERROR(Fetch(reply.bundles(1), study_.folder.File(kCorrectionSiteFile)));
    CrashPoint("site.correction_fetched");
    ATTUNE_RETURN_IF_ERROR(HarmonizeFromCorrection(study_, tables_, has_own, options_.out, options_.force));
    CrashPoint("site.harmonized");
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
    ATTUNE_RETURN_IF_ERROR(HarmonizeFromCorrection(study_, tables_, has_own, options_.out, options_.force));
    spdlog::info("study '{}': this site has done its part; harmonized data are in {}", study_.name(), options_.out);
    return absl::OkStatus();
  }

  absl::Status Report(v1::SiteState state) {
    v1::ReportRequest request;
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
};

}  // namespace

absl::Status RunStudy(const SiteStudy& study, const SiteTables& tables, const RunOptions& options, Courier* courier) {
  Run run(study, tables, options, courier);
  const absl::Status status = run.UntilDone();
  if (!status.ok()) run.ReportFailure(status);
  return status;
}

}  // namespace attune

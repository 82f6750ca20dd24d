// SPDX-License-Identifier: Apache-2.0
//
// Registration, the turn of a site, and reports. desk_aggregation.cc has the turns of secure aggregation, desk_upload.cc takes
// answers in, desk_admin.cc serves the operator.
#include "coordinator/desk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/certificates.h"
#include "common/security/signature.h"
#include "common/wire/manifest.h"
#include "coordinator/aggregation_outcome.h"
#include "coordinator/desk_internal.h"
#include "coordinator/errors.h"
#include "coordinator/round_outcome.h"
#include "coordinator/study_freeze.h"

namespace attune {
namespace {

bool Contains(const std::map<std::string, std::string>& map, absl::string_view key, absl::string_view value) {
  const auto found = map.find(std::string(key));
  return found != map.end() && found->second == value;
}

}  // namespace

JournalEntry MakeEntry(const std::string& study, const char* kind, absl::string_view site, std::uint32_t round) {
  JournalEntry e;
  e.study = study;
  e.kind = kind;
  e.site = std::string(site);
  e.round = round;
  return e;
}

absl::Status CheckMember(const StudyStatus& status, absl::string_view site, const std::string& manifest_sha256) {
  if (!status.started()) {
    return absl::FailedPreconditionError(
        status.state == v1::STUDY_STATE_RECRUITING
            ? absl::StrCat("the study '", status.name,
                           "' has not started yet; the coordinator's operator starts it when all sites have registered")
            : absl::StrCat("the study '", status.name, "' was closed before it started"));
  }
  if (status.sites.count(std::string(site)) == 0) return NotOnRoster(site, status.name);
  if (manifest_sha256 != status.manifest_sha256) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the manifest of the study '", status.name, "' has the hash ", status.manifest_sha256, ", not ",
        IsSha256Hex(manifest_sha256) ? manifest_sha256 : "the one given", "; fetch the manifest again, and approve it"));
  }
  return absl::OkStatus();
}

Desk::Desk(std::string consortium, Journal* journal, BlobStore blobs, MethodFinder find_method, DeskOptions options)
    : consortium_(std::move(consortium)),
      journal_(journal),
      blobs_(std::move(blobs)),
      find_method_(std::move(find_method)),
      options_(std::move(options)) {}

std::mutex& Desk::MutexOf(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutexes_mutex_);
  std::unique_ptr<std::mutex>& mutex = mutexes_[key];
  if (mutex == nullptr) mutex = std::make_unique<std::mutex>();
  return *mutex;
}

absl::StatusOr<StudyStatus> Desk::Status(const std::string& study) const {
  if (!IsPlainName(study)) return UnknownStudy(study);
  const absl::StatusOr<std::vector<JournalEntry>> entries = journal_->Read(study);
  if (!entries.ok()) return LocalError(entries.status());
  return ReplayStudy(study, *entries);
}

absl::Status Desk::Record(const std::string& study,
                          absl::FunctionRef<absl::StatusOr<std::vector<JournalEntry>>(const StudyStatus&)> decide) {
  if (!IsPlainName(study)) return UnknownStudy(study);
  absl::Status refusal;  // a decision, as against an error of the journal itself
  const auto replay_and_decide = [&](const std::vector<JournalEntry>& entries) -> absl::StatusOr<std::vector<JournalEntry>> {
    absl::StatusOr<StudyStatus> status = ReplayStudy(study, entries);
    if (!status.ok()) return refusal = status.status();
    absl::StatusOr<std::vector<JournalEntry>> decided = decide(*status);
    if (!decided.ok()) return refusal = decided.status();
    // The journal is never changed: an entry that could not be read back would end the study for good.
    for (const JournalEntry& e : *decided) {
      if (TakeEntry(e, *status)) continue;
      return absl::InternalError(absl::StrCat("an entry '", e.kind, "' cannot follow in the study '", study, "'"));
    }
    return decided;
  };
  const absl::Status recorded = journal_->Transact(study, replay_and_decide);
  return refusal.ok() ? LocalError(recorded) : refusal;
}

absl::Status Desk::Register(absl::string_view site, const v1::RegisterRequest& request) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus known, Status(request.study()));
  ATTUNE_RETURN_IF_ERROR(CheckRegistration(known, request));
  ATTUNE_RETURN_IF_ERROR(CheckCertificate(known, site, request));
  const std::string bytes = request.SerializeAsString();
  const std::string sha256 = Sha256Hex(bytes);
  // True: it is news.
  const auto check = [&](const StudyStatus& status) -> absl::StatusOr<bool> {
    const auto found = status.sites.find(std::string(site));
    if (found != status.sites.end() && found->second.request_sha256 == sha256) return false;
    if (status.state == v1::STUDY_STATE_RECRUITING) return true;
    return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' no longer recruits: it is ",
                                                      StateName(status.state), "; a site takes part as it had registered"));
  };
  // Once before anything is written, so that what is refused leaves nothing.
  ATTUNE_ASSIGN_OR_RETURN(const bool is_news, check(known));
  if (!is_news) return absl::OkStatus();
  ATTUNE_RETURN_IF_ERROR(StoreBytes(blobs_, bytes).status());
  return Record(request.study(), [&](const StudyStatus& status) -> absl::StatusOr<std::vector<JournalEntry>> {
    ATTUNE_ASSIGN_OR_RETURN(const bool is_still_news, check(status));
    if (!is_still_news) return std::vector<JournalEntry>();
    JournalEntry e = MakeEntry(status.name, entry::kRegistered, site, 0);
    v1::RegisterRequest batches_only = request;
    batches_only.clear_features();
    e.blob = sha256;
    e.body = batches_only.SerializeAsString();
    return std::vector<JournalEntry>{std::move(e)};
  });
}

absl::Status Desk::CheckCertificate(const StudyStatus& status, absl::string_view site,
                                    const v1::RegisterRequest& request) const {
  if (ReleaseOf(status.config) != Release::kPooled || status.plain_sums) return absl::OkStatus();
  if (request.certificate_pem().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the study '", status.name,
                     "' masks its sums, and a site's certificate has to sign for it: register with "
                     "the certificate of an enrolled site"));
  }
  const absl::StatusOr<std::string> uri = UriOf(request.certificate_pem());
  absl::Status issued = uri.status();
  issued.Update(CheckIssuedBy(request.certificate_pem(), options_.authority_pem));
  if (issued.ok() && *uri == SiteUri(consortium_, site)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the certificate of the registration is not the one of site '", site, "' in this consortium"));
}

absl::StatusOr<v1::GetStudyReply> Desk::GetStudy(absl::string_view site, const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(study));
  v1::GetStudyReply reply;
  reply.set_state(status.state);
  *reply.mutable_config() = status.config;
  for (const auto& [name, sha256] : status.attachments) {
    const absl::StatusOr<std::uint64_t> size = blobs_.SizeOf(sha256);
    if (!size.ok()) return LocalError(size.status());
    v1::Attachment& attachment = *reply.add_attachments();
    attachment.set_name(name);
    attachment.set_sha256(sha256);
    attachment.set_size(*size);
  }
  if (!status.started()) return reply;
  if (status.sites.count(std::string(site)) == 0) return NotOnRoster(site, study);
  const absl::StatusOr<std::string> path = blobs_.Verified(status.manifest_sha256);
  if (!path.ok()) return LocalError(path.status());
  absl::StatusOr<std::string> bytes = ReadFile(*path);
  if (!bytes.ok()) return LocalError(bytes.status());
  reply.set_manifest(*std::move(bytes));
  return reply;
}

absl::Status Desk::AddBundle(const std::string& sha256, v1::BundleRef& bundle) const {
  const absl::StatusOr<std::uint64_t> size = blobs_.SizeOf(sha256);
  if (!size.ok()) return LocalError(size.status());
  bundle.set_sha256(sha256);
  bundle.set_size(*size);
  return absl::OkStatus();
}

absl::StatusOr<v1::NextReply> Desk::Next(absl::string_view site, const v1::NextRequest& request) {
  ATTUNE_ASSIGN_OR_RETURN(StudyStatus status, Status(request.study()));
  ATTUNE_RETURN_IF_ERROR(CheckMember(status, site, request.manifest_sha256()));
  if (IsDue(status)) {
    // Whoever holds the mutex is computing the outcome; the site asks again.
    if (const std::unique_lock<std::mutex> lock(MutexOf(status.name), std::try_to_lock); lock.owns_lock()) {
      ATTUNE_RETURN_IF_ERROR(Advance(status.name));
    }
    ATTUNE_ASSIGN_OR_RETURN(status, Status(request.study()));
  }

  v1::NextReply reply;
  reply.set_round(status.round());
  reply.set_manifest_sha256(status.manifest_sha256);
  const std::string name(site);
  const auto report = status.reports.find(name);
  if (report != status.reports.end() && report->second == v1::SITE_STATE_HARMONIZED) {
    reply.set_task(v1::NextReply::TASK_DONE);
    return reply;
  }
  const std::vector<std::string> members = status.Members();
  if (!std::binary_search(members.begin(), members.end(), name)) {
    reply.set_task(v1::NextReply::TASK_STOPPED);
    reply.set_message("this site's sums did not come in time, and the study went on without them");
    return reply;
  }
  reply.set_deadline(status.Deadline());
  for (const RoundRecord& round : status.rounds) {
    if (!round.aggregation.IsOver()) continue;
    ATTUNE_RETURN_IF_ERROR(AddBundle(round.aggregation.sum_sha256, *reply.add_sums()));
  }
  switch (status.state) {
    case v1::STUDY_STATE_RUNNING:
      if (status.masked) {
        ATTUNE_RETURN_IF_ERROR(AddAggregationTask(status, name, reply));
        return reply;
      }
      if (status.rounds.back().answers.count(name) > 0) {
        reply.set_task(v1::NextReply::TASK_WAIT);
        reply.set_message(status.OutcomeDue() ? "all sites have answered; the outcome is being computed"
                                              : absl::StrCat("waiting for the answers of ", status.WaitingFor().size(), " of ",
                                                             status.sites.size(), " sites"));
        return reply;
      }
      reply.set_task(v1::NextReply::TASK_ANSWER);
      ATTUNE_RETURN_IF_ERROR(AddBundle(status.rounds.back().question_sha256, *reply.add_bundles()));
      return reply;
    case v1::STUDY_STATE_CORRECTED:
    case v1::STUDY_STATE_COMPLETE: {
      reply.set_task(v1::NextReply::TASK_CORRECT);
      ATTUNE_RETURN_IF_ERROR(AddBundle(status.correction->common_sha256, *reply.add_bundles()));
      const auto own = status.correction->by_site.find(name);
      if (own != status.correction->by_site.end()) ATTUNE_RETURN_IF_ERROR(AddBundle(own->second, *reply.add_bundles()));
      return reply;
    }
    case v1::STUDY_STATE_FAILED:
      reply.set_task(v1::NextReply::TASK_STOPPED);
      reply.set_message(absl::StrCat("the study failed: ", status.failure));
      return reply;
    default:
      reply.set_task(v1::NextReply::TASK_STOPPED);
      reply.set_message("the study was closed by the coordinator's operator");
      return reply;
  }
}

absl::StatusOr<std::vector<JournalEntry>> Desk::Outcome(const StudyStatus& status) const {
  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, LoadManifest(blobs_, status.manifest_sha256));
  const Method* const method = find_method_(manifest.method());
  if (method == nullptr) {
    return LocalError(
        absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' uses the method '", manifest.method(),
                                                   "', which this version of the program does not have")));
  }
  if (!status.masked) return OutcomeOfRound(status, manifest, *method, status.round(), blobs_, blobs_);
  const AggregationRecord& record = status.rounds.back().aggregation;
  const std::vector<std::string> delivered = record.Delivered();
  if (delivered.size() >= manifest.aggregation().threshold()) {
    return OutcomeOfStep(status, manifest, *method, delivered, blobs_, blobs_);
  }
  // No secret was shared yet: it costs nothing to wait on.
  if (record.step == v1::AGGREGATION_STEP_KEYS) return std::vector<JournalEntry>();
  return std::vector<JournalEntry>{
      NextAttempt(status, absl::StrCat("only ", delivered.size(), " of the ", manifest.aggregation().threshold(),
                                       " sites that it takes finished step ", static_cast<int>(record.step), " in time"))};
}

bool Desk::IsDue(const StudyStatus& status) const {
  if (status.OutcomeDue()) return true;
  absl::Time deadline;
  return status.masked && status.state == v1::STUDY_STATE_RUNNING &&
         absl::ParseTime(absl::RFC3339_full, status.Deadline(), &deadline, nullptr) && options_.now() > deadline;
}

absl::Status Desk::Advance(const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(study));
  if (!IsDue(status)) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> outcome, Outcome(status));
  if (outcome.empty()) return absl::OkStatus();
  CrashPoint("coordinator.outcome_written");
  const absl::Status recorded = Record(study, [&](const StudyStatus& now) -> absl::StatusOr<std::vector<JournalEntry>> {
    // Another process may have recorded it, or the study may have been closed, while this one computed.
    if (now.entries != status.entries) return std::vector<JournalEntry>();
    return outcome;
  });
  if (!recorded.ok()) return recorded;
  CrashPoint("coordinator.outcome_recorded");
  return absl::OkStatus();
}

absl::StatusOr<BundleFile> Desk::BundlePath(absl::string_view site, const v1::FetchRequest& request) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(request.study()));
  const std::string& sha256 = request.sha256();
  const auto bundle = [&]() -> absl::StatusOr<BundleFile> {
    absl::StatusOr<std::uint64_t> size = blobs_.SizeOf(sha256);
    if (!size.ok()) return LocalError(size.status());
    return BundleFile{blobs_.PathOf(sha256), *size};
  };
  // As with the study itself: everybody's while it recruits, then the roster's.
  const bool attachment = std::any_of(status.attachments.begin(), status.attachments.end(),
                                      [&](const auto& file) { return file.second == sha256; });
  if (attachment && status.started() && status.sites.count(std::string(site)) == 0) return NotOnRoster(site, status.name);
  if (attachment) return bundle();
  ATTUNE_RETURN_IF_ERROR(CheckMember(status, site, request.manifest_sha256()));
  const bool asked = std::any_of(status.rounds.begin(), status.rounds.end(),
                                 [&](const RoundRecord& round) { return round.question_sha256 == sha256; });
  const bool correction = status.correction.has_value() &&
                          (status.correction->common_sha256 == sha256 || Contains(status.correction->by_site, site, sha256));
  const bool of_aggregation =
      status.masked && std::any_of(status.rounds.begin(), status.rounds.end(), [&](const RoundRecord& round) {
        const AggregationRecord& record = round.aggregation;
        return sha256 == record.key_roster_sha256 || sha256 == record.survivors_sha256 || sha256 == record.signatures_sha256 ||
               sha256 == record.sum_sha256 || Contains(record.shares_for, site, sha256);
      });
  if (!asked && !correction && !of_aggregation) {
    return absl::PermissionDeniedError(
        absl::StrCat("the study '", status.name, "' has no bundle of that digest for this site"));
  }
  return bundle();
}

absl::Status Desk::Report(absl::string_view site, const v1::ReportRequest& request) {
  if (request.state() == v1::SITE_STATE_UNSPECIFIED || !v1::SiteState_IsValid(request.state())) {
    return absl::InvalidArgumentError("a report needs one of the states that the protocol knows");
  }
  if (request.state() == v1::SITE_STATE_SESSION_LOST) return ReportLostSession(site, request);
  // True: it is news.
  const auto check = [&](const StudyStatus& status) -> absl::StatusOr<bool> {
    ATTUNE_RETURN_IF_ERROR(CheckMember(status, site, request.manifest_sha256()));
    if (request.state() == v1::SITE_STATE_HARMONIZED && !status.correction.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' has no correction yet"));
    }
    const auto last = status.reports.find(std::string(site));
    return last == status.reports.end() || (last->second != request.state() && last->second != v1::SITE_STATE_HARMONIZED);
  };
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus known, Status(request.study()));
  ATTUNE_ASSIGN_OR_RETURN(const bool is_news, check(known));
  if (!is_news) return absl::OkStatus();
  const absl::Status recorded =
      Record(request.study(), [&](const StudyStatus& status) -> absl::StatusOr<std::vector<JournalEntry>> {
        ATTUNE_ASSIGN_OR_RETURN(const bool is_still_news, check(status));
        if (!is_still_news) return std::vector<JournalEntry>();
        JournalEntry e = MakeEntry(status.name, entry::kReported, site, 0);
        e.body = absl::StrCat(static_cast<int>(request.state()));
        return std::vector<JournalEntry>{std::move(e)};
      });
  if (!recorded.ok()) return recorded;
  CrashPoint("coordinator.report_recorded");
  return absl::OkStatus();
}

}  // namespace attune

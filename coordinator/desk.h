// SPDX-License-Identifier: Apache-2.0
//
// Everything that the coordinator does for its sites and its operator, whatever carries the calls: gRPC, folders or commands.
#ifndef ATTUNE_COORDINATOR_DESK_H_
#define ATTUNE_COORDINATOR_DESK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attune/v1/coordinator.pb.h"
#include "common/kernel/method.h"
#include "common/storage/blob_store.h"
#include "common/storage/journal.h"
#include "coordinator/study_book.h"

namespace attune {

// A bundle that a site may fetch.
struct BundleFile {
  std::string path;
  std::uint64_t size = 0;
};

struct DeskOptions {
  // The consortium's authority, which must have signed the certificates that sites register for pooled studies with.
  std::string authority_pem;
  std::function<absl::Time()> now = absl::Now;
};

// All state is in the journal and the blobs; the desk keeps none between calls, so that commands in other processes may act on
// the same folder, and a new desk goes on where one that was killed stopped. Thread-safe.
//
// Every site call takes the name of the site that its caller has authenticated. Each is idempotent. Besides the codes given
// here, each fails with NotFound for an unknown study and with local errors (errors.h), which are not for the site to read.
class Desk {
 public:
  using MethodFinder = std::function<const Method*(absl::string_view id)>;

  // `journal` is not owned and outlives the desk.
  Desk(std::string consortium, Journal* journal, BlobStore blobs, MethodFinder find_method, DeskOptions options = {});

  // ---- Sites ----

  // As the proto says. FailedPrecondition: no longer recruiting, with another registration. InvalidArgument: CheckRegistration,
  // or no certificate for a study whose sums are masked. PermissionDenied: the certificate is not this site's.
  absl::Status Register(absl::string_view site, const v1::RegisterRequest& request);

  // The manifest is for the roster alone: PermissionDenied for others once the study has started.
  absl::StatusOr<v1::GetStudyReply> GetStudy(absl::string_view site, const std::string& study);

  // What is asked of the site now; never waits. Computes the round's outcome first when it is due and nobody else does.
  // FailedPrecondition: not started, or another manifest hash. PermissionDenied: not on the roster.
  absl::StatusOr<v1::NextReply> Next(absl::string_view site, const v1::NextRequest& request);

  // An upload: GetUpload says how much has arrived, Append takes chunks (bytes sent again are skipped; OutOfRange: a gap), and
  // FinishUpload checks the whole and records it as the site's answer.
  // Each fails with FailedPrecondition (round not asked, study over, another answer was recorded) and PermissionDenied as Next.
  // InvalidArgument: malformed digest, a size that no answer can have, or not the form that was asked for.
  // FinishUpload, besides: FailedPrecondition when bytes are missing; DataLoss when they are not those of the digest: the
  // upload then starts again from 0.
  absl::StatusOr<v1::UploadState> GetUpload(absl::string_view site, const v1::UploadHeader& header);
  absl::Status Append(absl::string_view site, const v1::UploadHeader& header, const v1::Chunk& chunk);
  absl::StatusOr<v1::UploadState> FinishUpload(absl::string_view site, const v1::UploadHeader& header);

  // PermissionDenied: not a bundle that Next names to this site.
  absl::StatusOr<BundleFile> BundlePath(absl::string_view site, const v1::FetchRequest& request);

  // FailedPrecondition: harmonized, but there is no correction yet.
  absl::Status Report(absl::string_view site, const v1::ReportRequest& request);

  // ---- The operator ----

  // Begins to recruit. `plain_sums` has a pooled study add up sums that are not masked, where the coordinator sees each site's:
  // for simulations only, in which there is nobody to protect; site agents refuse it elsewhere. InvalidArgument:
  // CheckStudyConfig, an unknown method. FailedPrecondition: another study of that name. The same again is OK.
  // `files`: with images the mask, else none.
  absl::Status CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files = {});

  // Freezes the manifest, asks the first question and returns the manifest's hash; again, returns the same.
  // FailedPrecondition and others as FreezeManifest and Method::Begin say.
  absl::StatusOr<std::string> StartStudy(const std::string& study);

  // FailedPrecondition when the study has failed. Closing twice is OK.
  absl::Status CloseStudy(const std::string& study);

  absl::StatusOr<std::vector<std::string>> StudyNames() const;
  absl::StatusOr<std::vector<StudyStatus>> ListStudies() const;
  absl::StatusOr<StudyStatus> Status(const std::string& study) const;

  // A number that changes whenever something was recorded: what a waiting caller watches.
  std::int64_t Version() const { return journal_->Version(); }

 private:
  // Decides on the study's state and records what was decided, in one transaction.
  absl::Status Record(const std::string& study,
                      absl::FunctionRef<absl::StatusOr<std::vector<JournalEntry>>(const StudyStatus&)> decide);
  // Computes and records the outcome of the current round, or step, when it is due. Restartable at any point; the same bytes.
  // REQUIRES: the mutex of the study is held.
  absl::Status Advance(const std::string& study);
  // Whether Advance has something to do: all have come, or the time is up.
  bool IsDue(const StudyStatus& status) const;
  // What follows now in the study; none: it waits on.
  absl::StatusOr<std::vector<JournalEntry>> Outcome(const StudyStatus& status) const;
  // What is asked of a member while the round runs under secure aggregation.
  absl::Status AddAggregationTask(const StudyStatus& status, const std::string& site, v1::NextReply& reply) const;
  // The next attempt begins, unless the one that was lost is over already.
  absl::Status ReportLostSession(absl::string_view site, const v1::ReportRequest& request);
  absl::Status CheckCertificate(const StudyStatus& status, absl::string_view site, const v1::RegisterRequest& request) const;
  // What is wrong with an upload that has arrived whole at `path`.
  absl::Status CheckUpload(const StudyStatus& status, absl::string_view site, const v1::UploadHeader& header,
                           const std::string& path) const;
  absl::StatusOr<v1::UploadState> UploadStateOf(const StudyStatus& status, absl::string_view site,
                                                const v1::UploadHeader& header) const;
  absl::Status RecordAnswer(absl::string_view site, const v1::UploadHeader& header);
  absl::Status AddBundle(const std::string& sha256, v1::BundleRef& bundle) const;
  const Method* FindMethod(const std::string& id) const { return find_method_(id); }
  // The mutex of a key: a study (its outcome is computed once at a time), or an upload.
  std::mutex& MutexOf(const std::string& key);

  const std::string consortium_;
  Journal* const journal_;  // not owned
  const BlobStore blobs_;
  const MethodFinder find_method_;
  const DeskOptions options_;
  std::mutex mutexes_mutex_;
  std::map<std::string, std::unique_ptr<std::mutex>> mutexes_;  // guarded by mutexes_mutex_
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_DESK_H_

// SPDX-License-Identifier: Apache-2.0
//
// What the operator does: create, start, close, look.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "coordinator/desk.h"
#include "coordinator/desk_internal.h"
#include "coordinator/errors.h"
#include "coordinator/round_outcome.h"
#include "coordinator/study_freeze.h"

namespace attune {

absl::Status Desk::CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files) {
  ATTUNE_RETURN_IF_ERROR(CheckStudyConfig(config));
  if (FindMethod(MethodIdOf(config)) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("method: this program has no method '", MethodIdOf(config), "'"));
  }
  const bool images = config.features().has_images();
  if (images != files.contains(kMaskAttachment)) {
    return absl::InvalidArgumentError(images ? "features.images.mask: the file of the mask did not come with the study"
                                             : "a study of tables has no mask");
  }
  std::vector<JournalEntry> attached;
  for (const auto& [name, bytes] : files) {
    if (bytes.empty() || bytes.size() > kMostAttachmentBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the study's file '", name, "' has ", bytes.size(), " bytes, expected 1 to ", kMostAttachmentBytes));
    }
    JournalEntry e = MakeEntry(config.study(), entry::kAttached, "", 0);
    e.body = name;
    ATTUNE_ASSIGN_OR_RETURN(e.blob, StoreBytes(blobs_, bytes));
    attached.push_back(std::move(e));
  }
  return journal_->Transact(
      config.study(), [&](const std::vector<JournalEntry>& entries) -> absl::StatusOr<std::vector<JournalEntry>> {
        JournalEntry e = MakeEntry(config.study(), entry::kCreated, "", 0);
        e.body = config.SerializeAsString();
        if (entries.empty()) {
          std::vector<JournalEntry> created{std::move(e)};
          created.insert(created.end(), attached.begin(), attached.end());
          if (plain_sums) created.push_back(MakeEntry(config.study(), entry::kPlainSums, "", 0));
          return created;
        }
        // Not by bytes: maps have no order of their own.
        v1::StudyConfig known;
        const bool same_files = std::all_of(attached.begin(), attached.end(), [&](const JournalEntry& file) {
          return std::any_of(entries.begin(), entries.end(), [&](const JournalEntry& entry) {
            return entry.kind == entry::kAttached && entry.body == file.body && entry.blob == file.blob;
          });
        });
        if (same_files && known.ParseFromString(entries.front().body) &&
            google::protobuf::util::MessageDifferencer::Equals(known, config)) {
          return std::vector<JournalEntry>();
        }
        return absl::FailedPreconditionError(absl::StrCat("a study '", config.study(),
                                                          "' with another study file exists already; "
                                                          "give this one another name"));
      });
}

absl::StatusOr<std::string> Desk::StartStudy(const std::string& study) {
  std::string manifest_sha256;
  const absl::Status recorded = Record(study, [&](const StudyStatus& status) -> absl::StatusOr<std::vector<JournalEntry>> {
    if (status.state == v1::STUDY_STATE_CLOSED || status.state == v1::STUDY_STATE_FAILED) {
      return absl::FailedPreconditionError(
          absl::StrCat("the study '", study, "' cannot start: it is ", StateName(status.state)));
    }
    if (status.started()) {
      manifest_sha256 = status.manifest_sha256;
      return std::vector<JournalEntry>();
    }
    // Inside the transaction, so that no site registers between the roster and the record. Bundles that are written here but
    // never recorded do no harm.
    ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, FreezeManifest(consortium_, status, blobs_));
    const Method* const method = FindMethod(manifest.method());
    if (method == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("this program has no method '", manifest.method(), "'"));
    }
    const std::string bytes = CanonicalBytes(manifest);
    ATTUNE_RETURN_IF_ERROR(ParseManifest(bytes).status());
    ATTUNE_ASSIGN_OR_RETURN(manifest_sha256, StoreBytes(blobs_, bytes));
    ATTUNE_ASSIGN_OR_RETURN(std::vector<JournalEntry> entries,
                            FirstQuestion(study, manifest_sha256, manifest, *method, blobs_));
    JournalEntry started = MakeEntry(study, entry::kStarted, "", 0);
    started.blob = manifest_sha256;
    if (manifest.has_aggregation()) started.body = entry::kMasked;
    entries.insert(entries.begin(), std::move(started));
    return entries;
  });
  if (!recorded.ok()) return recorded;
  CrashPoint("coordinator.started");
  return manifest_sha256;
}

absl::Status Desk::CloseStudy(const std::string& study) {
  return Record(study, [&](const StudyStatus& status) -> absl::StatusOr<std::vector<JournalEntry>> {
    if (status.state == v1::STUDY_STATE_CLOSED) return std::vector<JournalEntry>();
    if (status.state == v1::STUDY_STATE_FAILED) {
      return absl::FailedPreconditionError(absl::StrCat("the study '", study, "' has failed, which is final"));
    }
    return std::vector<JournalEntry>{MakeEntry(study, entry::kClosed, "", 0)};
  });
}

absl::StatusOr<std::vector<std::string>> Desk::StudyNames() const {
  absl::StatusOr<std::vector<std::string>> names = journal_->Studies();
  if (!names.ok()) return LocalError(names.status());
  return names;
}

absl::StatusOr<std::vector<StudyStatus>> Desk::ListStudies() const {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> names, StudyNames());
  std::vector<StudyStatus> studies;
  for (const std::string& name : names) {
    ATTUNE_ASSIGN_OR_RETURN(StudyStatus status, Status(name));
    studies.push_back(std::move(status));
  }
  return studies;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// Answers on their way in: chunks are kept as they come, and nothing counts before the whole is checked and recorded.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/word128.h"
#include "coordinator/aggregation_outcome.h"
#include "coordinator/desk.h"
#include "coordinator/desk_internal.h"
#include "coordinator/errors.h"
#include "coordinator/round_outcome.h"

namespace attune {
namespace {

constexpr std::size_t kMaxChunkBytes = std::size_t{512} << 10;
// The most that a bundle holds besides its values: the header and its padding.
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{17} << 20;

// Where a site's answer to a round is on its way in. A digest, for sites and studies may have names of any case and length.
std::string SlotName(absl::string_view site, const v1::UploadHeader& header) {
  return absl::StrCat("upload-",
                      Sha256Hex(absl::StrCat(header.study(), "/", site, "/", header.round(), "/", header.attempt(), "/",
                                             static_cast<int>(header.step()))),
                      "-");
}

// The name of an upload in the blob store. A slot holds one: another answer that is begun takes the place of what had come of
// the last, so that a site cannot fill the disk.
std::string UploadName(absl::string_view site, const v1::UploadHeader& header) {
  return absl::StrCat(SlotName(site, header), header.bundle().sha256());
}

// Readers of files name the file; the site that sent it must not read where it lies.
absl::Status WithoutPath(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrReplaceAll(status.message(), {{path, "the upload"}}));
}

// A size beyond this cannot be an answer; checked before anything is stored.
std::uint64_t MaxAnswerBytes(const RoundRecord& round, v1::AggregationStep step, std::size_t parts) {
  const bool is_masked = step == v1::AGGREGATION_STEP_MASKED;
  if (step != v1::AGGREGATION_STEP_UNSPECIFIED && !is_masked) return kMaxStepMessageBytes;
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - kMaxHeaderBytes;
  const std::uint64_t bytes_per_value = is_masked ? sizeof(Word128) : sizeof(double) * parts;
  if (bytes_per_value != 0 && round.values_per_part > room / bytes_per_value) return room;
  return round.values_per_part * bytes_per_value + kMaxHeaderBytes;
}

// What of this site was recorded for what the header is of; empty: nothing. FailedPrecondition when it is not what is asked
// now.
absl::StatusOr<std::string> RecordedUpload(const StudyStatus& status, const std::string& site, const v1::UploadHeader& header) {
  const RoundRecord& round = status.rounds[header.round() - 1];
  const auto in = [&](const std::map<std::string, std::string>& digests) {
    const auto found = digests.find(site);
    return found == digests.end() ? std::string() : found->second;
  };
  if (!status.masked) {
    if (header.step() == v1::AGGREGATION_STEP_UNSPECIFIED) return in(round.answers);
    return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' does not mask its sums"));
  }
  const AggregationRecord& record = round.aggregation;
  if (header.step() == v1::AGGREGATION_STEP_UNSPECIFIED) {
    return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' takes masked sums only"));
  }
  if (header.attempt() != record.attempt) {
    return absl::FailedPreconditionError(absl::StrCat("attempt ", header.attempt(), " at round ", header.round(),
                                                      " is over; the present one is ", record.attempt));
  }
  if (const auto found = record.messages.find(header.step()); found != record.messages.end()) {
    if (std::string recorded = in(found->second); !recorded.empty()) return recorded;
  }
  const bool asked = header.round() == status.round() && header.step() == record.step && !record.IsOver() &&
                     std::binary_search(record.expected.begin(), record.expected.end(), site);
  if (asked) return std::string();
  return absl::FailedPreconditionError(absl::StrCat("step ", static_cast<int>(header.step()), " of attempt ", header.attempt(),
                                                    " at round ", header.round(), " is not asked of this site now"));
}

}  // namespace

absl::StatusOr<v1::UploadState> Desk::UploadStateOf(const StudyStatus& status, absl::string_view site,
                                                    const v1::UploadHeader& header) const {
  ATTUNE_RETURN_IF_ERROR(CheckMember(status, site, header.manifest_sha256()));
  if (!IsSha256Hex(header.bundle().sha256())) {
    return absl::InvalidArgumentError("an upload is named by its SHA-256: 64 lower-case hexadecimal digits");
  }
  if (header.round() == 0 || header.round() > status.round()) {
    return absl::FailedPreconditionError(absl::StrCat("round ", header.round(), " of the study '", status.name,
                                                      "' was not asked; the current round is ", status.round()));
  }
  const RoundRecord& round = status.rounds[header.round() - 1];
  v1::UploadState state;
  ATTUNE_ASSIGN_OR_RETURN(const std::string recorded, RecordedUpload(status, std::string(site), header));
  if (!recorded.empty()) {
    if (recorded != header.bundle().sha256()) {
      return absl::FailedPreconditionError(absl::StrCat("another answer of this site to round ", header.round(),
                                                        " of the study '", status.name, "' was recorded before (SHA-256 ",
                                                        recorded, "); a site answers a round once"));
    }
    state.set_recorded(true);
    state.set_received(header.bundle().size());
    return state;
  }
  if (status.state != v1::STUDY_STATE_RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("the study '", status.name, "' takes no more answers: it is ", StateName(status.state)));
  }
  const std::uint64_t most = MaxAnswerBytes(round, header.step(), status.PartsOf(site).size());
  if (header.bundle().size() == 0 || header.bundle().size() > most) {
    return absl::InvalidArgumentError(absl::StrCat("an answer to round ", header.round(), " of the study '", status.name,
                                                   "' has between 1 and ", most, " bytes, not ", header.bundle().size()));
  }
  const absl::StatusOr<std::uint64_t> received = blobs_.Received(UploadName(site, header));
  if (!received.ok()) return LocalError(received.status());
  state.set_received(*received);
  return state;
}

absl::StatusOr<v1::UploadState> Desk::GetUpload(absl::string_view site, const v1::UploadHeader& header) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(header.study()));
  return UploadStateOf(status, site, header);
}

absl::Status Desk::Append(absl::string_view site, const v1::UploadHeader& header, const v1::Chunk& chunk) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(header.study()));
  ATTUNE_ASSIGN_OR_RETURN(const v1::UploadState before, UploadStateOf(status, site, header));
  if (before.recorded()) return absl::OkStatus();
  const std::uint64_t size = header.bundle().size();
  if (chunk.data().size() > kMaxChunkBytes || chunk.offset() > size || chunk.data().size() > size - chunk.offset()) {
    return absl::InvalidArgumentError(absl::StrCat("a chunk of ", chunk.data().size(), " bytes at ", chunk.offset(),
                                                   " is larger than ", kMaxChunkBytes, " bytes or goes beyond the ", size,
                                                   " bytes of the upload"));
  }
  if (before.received() == 0) {
    ATTUNE_RETURN_IF_ERROR(LocalError(blobs_.RemoveScratch(SlotName(site, header), UploadName(site, header))));
  }
  const absl::Status kept = blobs_.Append(UploadName(site, header), chunk.offset(), chunk.data());
  if (!kept.ok()) return absl::IsOutOfRange(kept) ? kept : LocalError(kept);
  CrashPoint("coordinator.upload_chunk_kept");
  return absl::OkStatus();
}

absl::Status Desk::CheckUpload(const StudyStatus& status, absl::string_view site, const v1::UploadHeader& header,
                               const std::string& path) const {
  if (status.masked) {
    ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, LoadManifest(blobs_, status.manifest_sha256));
    return CheckStepMessage(status, manifest, std::string(site), path, blobs_);
  }
  const std::string& question_sha256 = status.rounds[header.round() - 1].question_sha256;
  ATTUNE_ASSIGN_OR_RETURN(const Question question, LoadQuestion(blobs_, question_sha256));
  return OpenAnswer(path, status.manifest_sha256, question_sha256, question, status.PartsOf(site), BundleValues::kChecked)
      .status();
}

// The upload's mutex is held.
absl::Status Desk::RecordAnswer(absl::string_view site, const v1::UploadHeader& header) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, Status(header.study()));
  ATTUNE_ASSIGN_OR_RETURN(const v1::UploadState before, UploadStateOf(status, site, header));
  if (before.recorded()) return absl::OkStatus();
  const std::string& sha256 = header.bundle().sha256();
  const std::string scratch = blobs_.ScratchPath(UploadName(site, header));

  if (before.received() != header.bundle().size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the upload is not complete: ", before.received(), " of ", header.bundle().size(), " bytes have arrived"));
  }
  const absl::StatusOr<std::string> digest = Sha256OfFile(scratch);
  if (!digest.ok()) return LocalError(digest.status());
  absl::Status checked;
  if (*digest != sha256) {
    checked = absl::DataLossError("the bytes that arrived are not those of the upload's SHA-256; send them again");
  } else {
    checked = CheckUpload(status, site, header, scratch);
    if (ForPeer(checked) != checked) return checked;  // this machine's fault: the upload stays, to be looked at again
  }
  // Before it is adopted: what is not an answer must not stay.
  if (!checked.ok()) {
    std::error_code ignored;
    std::filesystem::remove(scratch, ignored);
    return WithoutPath(checked, scratch);
  }
  const absl::Status adopted = blobs_.Adopt(scratch, sha256);
  if (!adopted.ok()) return LocalError(adopted);
  CrashPoint("coordinator.answer_adopted");

  const absl::Status recorded =
      Record(header.study(), [&](const StudyStatus& now) -> absl::StatusOr<std::vector<JournalEntry>> {
        ATTUNE_ASSIGN_OR_RETURN(const v1::UploadState state, UploadStateOf(now, site, header));
        if (state.recorded()) return std::vector<JournalEntry>();
        JournalEntry e = MakeEntry(now.name, now.masked ? entry::kStepDone : entry::kAnswered, site, header.round());
        e.blob = sha256;
        if (now.masked) e.body = absl::StrCat(header.attempt(), " ", static_cast<int>(header.step()));
        return std::vector<JournalEntry>{std::move(e)};
      });
  if (!recorded.ok()) return recorded;
  CrashPoint("coordinator.answer_recorded");
  return absl::OkStatus();
}

absl::StatusOr<v1::UploadState> Desk::FinishUpload(absl::string_view site, const v1::UploadHeader& header) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::UploadState before, GetUpload(site, header));
  if (before.recorded()) return before;
  {
    const std::lock_guard<std::mutex> lock(MutexOf(SlotName(site, header)));
    ATTUNE_RETURN_IF_ERROR(RecordAnswer(site, header));
  }
  {
    // Waits, unlike Next: with the last answer, nobody else may come by to compute the outcome.
    const std::lock_guard<std::mutex> lock(MutexOf(header.study()));
    const absl::Status advanced = Advance(header.study());
    // The answer is recorded whatever follows; Next tells the sites.
    if (!advanced.ok()) spdlog::error("{}", advanced.ToString(absl::StatusToStringMode::kWithNoExtraData));
  }
  v1::UploadState state;
  state.set_recorded(true);
  state.set_received(header.bundle().size());
  return state;
}

}  // namespace attune

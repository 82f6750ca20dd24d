// SPDX-License-Identifier: Apache-2.0
#include "common/transport/folder_courier.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"

namespace attune {
namespace {

constexpr std::uint64_t kMaxMessageBytes = 64 << 20;
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Seconds(10);

// Copies a file, checking its digest on the way; nothing appears at `to` when it is another.
absl::Status CopyVerified(const std::string& from, const std::string& to, const std::string& sha256) {
  std::ifstream in(from, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot open '", from, "'"));
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile out, AtomicFile::Create(to, FileAccess::kOwnerOnly));
  Sha256 digest;
  std::string buffer(std::size_t{1} << 20, '\0');
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    const absl::string_view piece(buffer.data(), static_cast<std::size_t>(in.gcount()));
    digest.Update(piece);
    out.Write(piece);
  }
  if (const std::string found = std::move(digest).Finish(); found != sha256) {
    return absl::DataLossError(absl::StrCat("'", from, "' has the digest ", found, ", expected ", sha256, ": copy it again"));
  }
  return std::move(out).Commit();
}

class FolderCourier : public Courier {
 public:
  explicit FolderCourier(const FolderCourierOptions& options)
      : outbox_(absl::StrCat(options.folder, "/outbox")),
        inbox_(absl::StrCat(options.folder, "/inbox")),
        patience_(options.patience) {}

  absl::Status MakeFolders() const {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(outbox_, FileAccess::kShared));
    return MakeFolder(inbox_, FileAccess::kShared);
  }

  absl::Status Register(const v1::RegisterRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(request.study()));
    ATTUNE_RETURN_IF_ERROR(Put(absl::StrCat(request.study(), ".register.pb"), request));
    return RefusalOf(request.study(), absl::StrCat(request.study(), ".register.pb"));
  }

  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(study));
    const absl::Time until = absl::Now() + patience_;
    for (;;) {
      ATTUNE_RETURN_IF_ERROR(RefusalOf(study, absl::StrCat(study, ".register.pb")));
      v1::GetStudyReply reply;
      const absl::Status taken = Take(absl::StrCat(study, ".study.pb"), &reply);
      if (taken.ok()) return reply;
      if (!absl::IsUnavailable(taken) || absl::Now() >= until) return taken;
      absl::SleepFor(kLookAgain);
    }
  }

  absl::StatusOr<v1::NextReply> Next(const v1::NextRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(request.study()));
    const absl::Time started = absl::Now();
    const absl::Duration wait = std::min(absl::Milliseconds(request.wait_ms()), kLongestWait);
    for (;;) {
      absl::StatusOr<v1::NextReply> reply = NextNow(request);
      const bool missing = absl::IsUnavailable(reply.status());
      if (!missing && !(reply.ok() && reply->task() == v1::NextReply::TASK_WAIT)) return reply;
      if (absl::Now() - started >= (missing ? std::max(wait, patience_) : wait)) return reply;
      absl::SleepFor(kLookAgain);
    }
  }

  absl::Status Submit(const v1::UploadHeader& header, const std::string& path) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(header.study()));
    const std::string& sha256 = header.bundle().sha256();
    if (!IsSha256Hex(sha256)) return absl::InvalidArgumentError("the answer's digest is malformed");
    const std::string name = AnswerName(header.study(), header.round());
    if (!HasWholeBundle(sha256)) ATTUNE_RETURN_IF_ERROR(CopyVerified(path, BundleIn(outbox_, sha256), sha256));
    return Put(name, header);
  }

  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t size, const std::string& path) override {
    if (!IsSha256Hex(request.sha256()))
      return absl::InvalidArgumentError("the coordinator named a bundle by what is no digest");
    const std::string from = BundleIn(inbox_, request.sha256());
    if (!FileExists(from)) {
      return absl::UnavailableError(absl::StrCat("the bundle '", from, "' (", size,
                                                 " bytes) is missing: bring the whole inbox folder from the coordinator"));
    }
    return CopyVerified(from, path, request.sha256());
  }

  absl::Status Report(const v1::ReportRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(request.study()));
    return Put(ReportName(request.study()), request);
  }

 private:
  static std::string BundleIn(const std::string& box, const std::string& sha256) {
    return absl::StrCat(box, "/", sha256, ".bundle");
  }
  static std::string AnswerName(const std::string& study, std::uint32_t round) {
    return absl::StrCat(study, ".answer-", round, ".pb");
  }
  static std::string ReportName(const std::string& study) { return absl::StrCat(study, ".report.pb"); }

  static absl::Status CheckStudyName(const std::string& study) {
    if (IsPlainName(study)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("'", study, "' cannot be a study's name: expected letters, digits, '.', '_', '-'"));
  }

  // A file that says the same already is left alone, so that doing a step twice is doing it once.
  absl::Status Put(const std::string& name, const google::protobuf::Message& message) const {
    const std::string path = absl::StrCat(outbox_, "/", name);
    const std::string bytes = message.SerializeAsString();
    if (const auto existing = ReadFile(path, kMaxMessageBytes); existing.ok() && *existing == bytes) return absl::OkStatus();
    return WriteFileAtomically(path, bytes, FileAccess::kShared);
  }

  absl::Status Take(const std::string& name, google::protobuf::Message* message) const {
    const std::string path = absl::StrCat(inbox_, "/", name);
    const absl::StatusOr<std::string> bytes = ReadFile(path, kMaxMessageBytes);
    if (absl::IsNotFound(bytes.status())) {
      return absl::UnavailableError(
          absl::StrCat("nothing from the coordinator yet in '", inbox_, "' (", name, "); bring the folder to the coordinator"));
    }
    ATTUNE_RETURN_IF_ERROR(bytes.status());
    if (message->ParseFromString(*bytes)) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("'", path, "' is damaged: copy it again from the coordinator's folder"));
  }

  // Our own message `name` in the outbox; false when there is none or it cannot be read.
  bool Sent(const std::string& name, google::protobuf::Message* message) const {
    const absl::StatusOr<std::string> bytes = ReadFile(absl::StrCat(outbox_, "/", name), kMaxMessageBytes);
    return bytes.ok() && message->ParseFromString(*bytes);
  }

  bool HasWholeBundle(const std::string& sha256) const {
    const absl::StatusOr<std::string> found = Sha256OfFile(BundleIn(outbox_, sha256));
    return found.ok() && *found == sha256;
  }

  // The coordinator's refusal of the request that lies in the outbox as `name`; OK when there is none, or of an earlier one.
  absl::Status RefusalOf(const std::string& study, const std::string& name) const {
    v1::FolderError error;
    const absl::Status taken = Take(absl::StrCat(study, ".error.pb"), &error);
    if (absl::IsUnavailable(taken)) return absl::OkStatus();
    ATTUNE_RETURN_IF_ERROR(taken);
    const absl::StatusOr<std::string> digest = Sha256OfFile(absl::StrCat(outbox_, "/", name));
    if (!digest.ok() || *digest != error.answers_to()) return absl::OkStatus();
    const bool known = error.code() > 0 && error.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
    return Printable(absl::Status(known ? static_cast<absl::StatusCode>(error.code()) : absl::StatusCode::kUnknown,
                                  absl::StrCat("the coordinator refused '", name, "': ", error.message())));
  }

  static v1::NextReply Wait(const v1::NextRequest& request, absl::string_view what) {
    v1::NextReply reply;
    reply.set_manifest_sha256(request.manifest_sha256());
    reply.set_task(v1::NextReply::TASK_WAIT);
    reply.set_message(absl::StrCat(what, " lies in the outbox; bring the folder to the coordinator"));
    return reply;
  }

  absl::StatusOr<v1::NextReply> NextNow(const v1::NextRequest& request) const {
    const std::string& study = request.study();
    ATTUNE_RETURN_IF_ERROR(RefusalOf(study, absl::StrCat(study, ".register.pb")));
    ATTUNE_RETURN_IF_ERROR(RefusalOf(study, ReportName(study)));
    v1::NextReply reply;
    ATTUNE_RETURN_IF_ERROR(Take(absl::StrCat(study, ".next.pb"), &reply));
    if (reply.manifest_sha256() != request.manifest_sha256()) {
      return absl::UnavailableError(
          absl::StrCat("what lies in '", inbox_, "' (", study,
                       ".next.pb) is of another manifest than the approved one; bring the whole inbox "
                       "folder from the coordinator"));
    }
    v1::UploadHeader sent;
    v1::ReportRequest report;
    if (reply.task() == v1::NextReply::TASK_ANSWER && Sent(AnswerName(study, reply.round()), &sent) &&
        sent.manifest_sha256() == request.manifest_sha256() && HasWholeBundle(sent.bundle().sha256())) {
      ATTUNE_RETURN_IF_ERROR(RefusalOf(study, AnswerName(study, reply.round())));
      return Wait(request, absl::StrCat("the answer to round ", reply.round()));
    }
    if (reply.task() == v1::NextReply::TASK_CORRECT && Sent(ReportName(study), &report) &&
        report.manifest_sha256() == request.manifest_sha256() && report.state() == v1::SITE_STATE_HARMONIZED) {
      return Wait(request, "the report that this site's data are harmonized");
    }
    return reply;
  }

  const std::string outbox_;
  const std::string inbox_;
  const absl::Duration patience_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Courier>> MakeFolderCourier(const FolderCourierOptions& options) {
  if (options.folder.empty()) return absl::InvalidArgumentError("the folder to exchange with the coordinator is not given");
  auto courier = std::make_unique<FolderCourier>(options);
  ATTUNE_RETURN_IF_ERROR(courier->MakeFolders());
  return courier;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/transport/folder_courier.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/server_certificate.h"
#include "common/security/signature.h"
#include "common/security/token_proof.h"
#include "common/transport/signed_folder.h"

namespace attune {
namespace {

constexpr char kEnrollFile[] = "enroll.pb";
constexpr char kEnrolledFile[] = "enrolled.pb";
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

absl::Status MakeBoxes(const std::string& folder) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/outbox"), FileAccess::kShared));
  return MakeFolder(absl::StrCat(folder, "/inbox"), FileAccess::kShared);
}

// The site's end of a folder. The coordinator's files are known by its server certificate: a site's does not count.
SignedFolderOptions SiteEnd(const std::string& folder, const std::string& state_path, const std::string& site,
                            const std::string& ca_pem) {
  SignedFolderOptions end;
  end.folder = folder;
  end.site = site;
  end.own_box = "outbox";
  end.peer_box = "inbox";
  end.state_path = state_path;
  end.check_peer = [ca_pem](const std::string& certificate_pem) -> absl::Status {
    ATTUNE_RETURN_IF_ERROR(CheckIssuedBy(certificate_pem, ca_pem));
    return CheckServerCertificate(certificate_pem);
  };
  return end;
}

absl::Status StatusOf(const v1::FolderError& error, const std::string& name) {
  const bool known = error.code() > 0 && error.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(error.code()) : absl::StatusCode::kUnknown,
                      absl::StrCat("the coordinator refused '", name, "': ", error.message()));
}

absl::Status NothingYet(const std::string& folder, const std::string& name) {
  return absl::UnavailableError(absl::StrCat("nothing from the coordinator yet in '", folder, "/inbox' (", name,
                                             "); bring the folder to the coordinator"));
}

// Which upload of a study a header is.
struct Step {
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;  // 0: a plain answer
  std::uint32_t step = 0;

  bool operator<(const Step& other) const {
    return std::tie(round, attempt, step) < std::tie(other.round, other.attempt, other.step);
  }
};

template <typename Message>
Step StepOf(const Message& message) {
  return {message.round(), message.attempt(), static_cast<std::uint32_t>(message.step())};
}

std::string UploadName(const std::string& study, const Step& step) {
  if (step.attempt == 0 && step.step == 0) return absl::StrCat(study, ".answer-", step.round, ".pb");
  return absl::StrCat(study, ".round-", step.round, "-", step.attempt, "-", step.step, ".pb");
}

// The step of a file of that form; nothing for another file.
std::optional<Step> StepOfUploadName(const std::string& study, absl::string_view name) {
  if (!absl::ConsumePrefix(&name, study) || !absl::ConsumeSuffix(&name, ".pb")) return std::nullopt;
  Step step;
  if (absl::ConsumePrefix(&name, ".answer-")) {
    return absl::SimpleAtoi(name, &step.round) ? std::make_optional(step) : std::nullopt;
  }
  if (!absl::ConsumePrefix(&name, ".round-")) return std::nullopt;
  const std::vector<absl::string_view> numbers = absl::StrSplit(name, '-');
  const bool whole = numbers.size() == 3 && absl::SimpleAtoi(numbers[0], &step.round) &&
                     absl::SimpleAtoi(numbers[1], &step.attempt) && absl::SimpleAtoi(numbers[2], &step.step);
  return whole ? std::make_optional(step) : std::nullopt;
}

bool IsUploadName(absl::string_view name) {
  return absl::EndsWith(name, ".pb") && (absl::StrContains(name, ".answer-") || absl::StrContains(name, ".round-"));
}

class FolderCourier : public Courier {
 public:
  explicit FolderCourier(const FolderCourierOptions& options)
      : files_(EndOf(options)), folder_(options.folder), patience_(options.patience) {}

  absl::Status Register(const v1::RegisterRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(request.study()));
    ATTUNE_RETURN_IF_ERROR(files_.Put(RegisterName(request.study()), request.SerializeAsString()));
    return RefusalOf(request.study(), RegisterName(request.study()));
  }

  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(study));
    const absl::Time until = absl::Now() + patience_;
    for (;;) {
      ATTUNE_RETURN_IF_ERROR(RefusalOf(study, RegisterName(study)));
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
    if (!HasWholeBundle(sha256)) ATTUNE_RETURN_IF_ERROR(CopyVerified(path, OutboxBundle(sha256), sha256));
    const Step step = StepOf(header);
    ATTUNE_RETURN_IF_ERROR(files_.Put(UploadName(header.study(), step), header.SerializeAsString()));
    RemoveEarlier(header.study(), step);
    return absl::OkStatus();
  }

  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t size, const std::string& path) override {
    if (!IsSha256Hex(request.sha256()))
      return absl::InvalidArgumentError("the coordinator named a bundle by what is no digest");
    const std::string from = files_.PeerPath(BundleName(request.sha256()));
    std::error_code error;
    const auto type = std::filesystem::symlink_status(from, error).type();
    if (type == std::filesystem::file_type::not_found) {
      return absl::UnavailableError(absl::StrCat("the bundle '", from, "' (", size,
                                                 " bytes) is missing: bring the whole inbox folder from the coordinator"));
    }
    if (type != std::filesystem::file_type::regular) {
      return absl::DataLossError(absl::StrCat("'", from, "' is a link or no plain file: copy it again from the coordinator"));
    }
    return CopyVerified(from, path, request.sha256());
  }

  absl::Status Report(const v1::ReportRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(CheckStudyName(request.study()));
    return files_.Put(ReportName(request.study()), request.SerializeAsString());
  }

 private:
  static SignedFolder EndOf(const FolderCourierOptions& options) {
    SignedFolderOptions end = SiteEnd(options.folder, options.state_path, options.site, options.ca_pem);
    end.key_pem = options.key_pem;
    end.certificate_pem = options.certificate_pem;
    end.tell = options.tell;
    return SignedFolder(std::move(end));
  }

  static std::string BundleName(const std::string& sha256) { return absl::StrCat(sha256, ".bundle"); }
  static std::string RegisterName(const std::string& study) { return absl::StrCat(study, ".register.pb"); }
  static std::string ReportName(const std::string& study) { return absl::StrCat(study, ".report.pb"); }
  std::string OutboxBundle(const std::string& sha256) const { return files_.OwnPath(BundleName(sha256)); }

  static absl::Status CheckStudyName(const std::string& study) {
    if (IsPlainName(study)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("'", study, "' cannot be a study's name: expected letters, digits, '.', '_', '-'"));
  }

  absl::Status Take(const std::string& name, google::protobuf::Message* message) const {
    const absl::StatusOr<std::string> payload = files_.Take(name);
    if (absl::IsNotFound(payload.status())) return NothingYet(folder_, name);
    ATTUNE_RETURN_IF_ERROR(payload.status());
    if (message->ParseFromString(*payload)) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("'inbox/", name, "' holds what this version cannot read"));
  }

  // Our own message `name` in the outbox, whole and as it was written.
  bool Sent(const std::string& name, google::protobuf::Message* message) const {
    const absl::StatusOr<std::string> payload = files_.Own(name);
    return payload.ok() && message->ParseFromString(*payload);
  }

  bool HasWholeBundle(const std::string& sha256) const {
    std::error_code error;
    if (std::filesystem::symlink_status(OutboxBundle(sha256), error).type() != std::filesystem::file_type::regular)
      return false;
    const absl::StatusOr<std::string> found = Sha256OfFile(OutboxBundle(sha256));
    return found.ok() && *found == sha256;
  }

  // The coordinator asks for a step only when it needs nothing of the earlier ones.
  void RemoveEarlier(const std::string& study, const Step& step) const {
    std::set<std::string> kept;
    std::set<std::string> stale;
    std::vector<std::string> headers;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat(folder_, "/outbox"), error)) {
      const std::string name = entry.path().filename().string();
      v1::UploadHeader header;
      // Headers of all studies: two may name one bundle.
      if (!IsUploadName(name) || !Sent(name, &header)) continue;
      const std::optional<Step> found = StepOfUploadName(study, name);
      const bool earlier = found && *found < step;
      (earlier ? stale : kept).insert(header.bundle().sha256());
      if (earlier) headers.push_back(name);
    }
    for (const std::string& name : headers) std::filesystem::remove(files_.OwnPath(name), error);
    for (const std::string& sha256 : stale) {
      if (IsSha256Hex(sha256) && kept.count(sha256) == 0) std::filesystem::remove(OutboxBundle(sha256), error);
    }
  }

  // The coordinator's refusal of the request that lies in the outbox as `name`; OK when there is none, or of an earlier one, or
  // of one that was changed on the way and so is not this site's.
  absl::Status RefusalOf(const std::string& study, const std::string& name) const {
    v1::FolderError error;
    const absl::Status taken = Take(absl::StrCat(study, ".error.pb"), &error);
    if (absl::IsUnavailable(taken)) return absl::OkStatus();
    ATTUNE_RETURN_IF_ERROR(taken);
    if (error.code() == 0 || error.answers_to().empty() || files_.OwnDigest(name) != error.answers_to())
      return absl::OkStatus();
    if (!files_.Own(name).ok()) return absl::OkStatus();
    return StatusOf(error, name);
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
    v1::ReportRequest report;
    const bool reported = Sent(ReportName(study), &report) && report.manifest_sha256() == request.manifest_sha256();
    // An attempt that was given up by both sides is refused when its loss is read again, and that is all right.
    const bool lost = reported && report.state() == v1::SITE_STATE_SESSION_LOST;
    ATTUNE_RETURN_IF_ERROR(RefusalOf(study, RegisterName(study)));
    if (!lost) ATTUNE_RETURN_IF_ERROR(RefusalOf(study, ReportName(study)));
    v1::NextReply reply;
    ATTUNE_RETURN_IF_ERROR(Take(absl::StrCat(study, ".next.pb"), &reply));
    if (reply.manifest_sha256() != request.manifest_sha256()) {
      return absl::UnavailableError(
          absl::StrCat("what lies in '", folder_, "/inbox' (", study,
                       ".next.pb) is of another manifest than the approved one; bring the whole inbox "
                       "folder from the coordinator"));
    }
    if (reply.task() == v1::NextReply::TASK_ANSWER || reply.task() == v1::NextReply::TASK_AGGREGATE) {
      const bool aggregates = reply.task() == v1::NextReply::TASK_AGGREGATE;
      if (aggregates && lost && report.round() == reply.round() && report.attempt() == reply.attempt()) {
        return Wait(request, absl::StrCat("the report that this site has lost its keys of attempt ", reply.attempt(),
                                          " at round ", reply.round()));
      }
      v1::UploadHeader sent;
      const std::string name = UploadName(study, StepOf(reply));
      if (Sent(name, &sent) && sent.manifest_sha256() == request.manifest_sha256() && HasWholeBundle(sent.bundle().sha256())) {
        ATTUNE_RETURN_IF_ERROR(RefusalOf(study, name));
        return Wait(request,
                    absl::StrCat("the answer to round ", reply.round(),
                                 aggregates ? absl::StrCat(", attempt ", reply.attempt(), ", step ", reply.step()) : ""));
      }
    }
    if (reply.task() == v1::NextReply::TASK_CORRECT && reported && report.state() == v1::SITE_STATE_HARMONIZED) {
      return Wait(request, "the report that this site's data are harmonized");
    }
    return reply;
  }

  const SignedFolder files_;
  const std::string folder_;
  const absl::Duration patience_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Courier>> MakeFolderCourier(const FolderCourierOptions& options) {
  if (options.folder.empty()) return absl::InvalidArgumentError("the folder to exchange with the coordinator is not given");
  ATTUNE_RETURN_IF_ERROR(MakeBoxes(options.folder));
  return std::unique_ptr<Courier>(std::make_unique<FolderCourier>(options));
}

absl::StatusOr<v1::EnrollReply> EnrollByFolder(const FolderEnrollment& enrollment) {
  ATTUNE_RETURN_IF_ERROR(MakeBoxes(enrollment.folder));
  v1::FolderEnrollRequest request;
  request.set_site(enrollment.site);
  request.set_certificate_request_pem(enrollment.certificate_request_pem);
  request.set_token_proof(TokenProof(Sha256Hex(enrollment.token), enrollment.site, enrollment.certificate_request_pem));
  const SignedFolder files(SiteEnd(enrollment.folder, enrollment.state_path, enrollment.site, enrollment.ca_pem));
  const std::string bytes = request.SerializeAsString();
  const std::string sha256 = Sha256Hex(bytes);
  if (files.OwnDigest(kEnrollFile) != sha256) {
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(files.OwnPath(kEnrollFile), bytes, FileAccess::kShared));
  }
  const absl::Time until = absl::Now() + enrollment.patience;
  for (;;) {
    v1::FolderEnrollReply reply;
    const absl::StatusOr<std::string> payload = files.Take(kEnrolledFile);
    if (payload.ok()) {
      if (!reply.ParseFromString(*payload)) {
        return absl::DataLossError(absl::StrCat("'inbox/", kEnrolledFile, "' holds what this version cannot read"));
      }
    } else if (!absl::IsNotFound(payload.status())) {
      return payload.status();
    }
    // An answer to an earlier request does not count.
    if (reply.answers_to() == sha256) {
      if (reply.has_error()) return StatusOf(reply.error(), kEnrollFile);
      return reply.reply();
    }
    if (absl::Now() >= until) {
      return absl::UnavailableError(
          absl::StrCat("the request for a certificate lies in '", enrollment.folder,
                       "/outbox': bring the folder to the coordinator and back, then give this command again"));
    }
    absl::SleepFor(kLookAgain);
  }
}

void RemoveFolderEnrollment(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove(absl::StrCat(folder, "/outbox/", kEnrollFile), ignored);
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/folder_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/signature.h"
#include "common/transport/signed_folder.h"
#include "coordinator/errors.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr char kEnrollFile[] = "enroll.pb";
constexpr char kEnrolledFile[] = "enrolled.pb";
constexpr std::uint64_t kMaxRequestBytes = std::uint64_t{1} << 20;
// How long a folder may be under way after the certificate that signed its files has expired.
constexpr int kTravelDays = 30;
// A site that reads an inbox on a shared drive may be fetching what is not named any more.
constexpr auto kKeepUnnamed = std::chrono::hours(1);
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

// Names of the entries in `folder` that are of the type, sorted. Links are not followed.
absl::StatusOr<std::vector<std::string>> Entries(const std::string& folder, bool (*wanted)(fs::file_type)) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (wanted(it->symlink_status(error).type())) names.push_back(it->path().filename().string());
  }
  if (error) return LocalError(absl::NotFoundError(absl::StrCat("cannot read the folder '", folder, "': ", error.message())));
  std::sort(names.begin(), names.end());
  return names;
}

bool IsFolder(fs::file_type type) { return type == fs::file_type::directory; }
// Links among them: what lies in the place of a request is told.
bool IsNoFolder(fs::file_type type) { return type != fs::file_type::directory; }

bool IsPlainFolder(const std::string& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::directory;
}

bool IsPlainFile(const std::string& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::regular;
}

std::string Text(const absl::Status& status) { return status.ToString(absl::StatusToStringMode::kWithNoExtraData); }

// A request file of an outbox.
struct Request {
  enum Kind { kRegister = 0, kUpload = 1, kReport = 2 };
  Kind kind = kRegister;
  // Uploads; the last two are 0 for a plain answer.
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  std::uint32_t step = 0;
  std::string file;

  bool operator<(const Request& other) const {
    return std::tie(kind, round, attempt, step) < std::tie(other.kind, other.round, other.attempt, other.step);
  }
};

// Takes the end of a request's name, ".pb" aside, from `stem`, which leaves the study.
bool ConsumeKind(absl::string_view& stem, Request& request) {
  if (absl::ConsumeSuffix(&stem, ".register")) {
    request.kind = Request::kRegister;
    return true;
  }
  if (absl::ConsumeSuffix(&stem, ".report")) {
    request.kind = Request::kReport;
    return true;
  }
  request.kind = Request::kUpload;
  const std::size_t dot = stem.rfind('.');
  if (dot == absl::string_view::npos) return false;
  absl::string_view rest = stem.substr(dot + 1);
  stem = stem.substr(0, dot);
  if (absl::ConsumePrefix(&rest, "answer-")) return absl::SimpleAtoi(rest, &request.round);
  if (!absl::ConsumePrefix(&rest, "round-")) return false;
  const std::vector<absl::string_view> numbers = absl::StrSplit(rest, '-');
  return numbers.size() == 3 && absl::SimpleAtoi(numbers[0], &request.round) &&
         absl::SimpleAtoi(numbers[1], &request.attempt) && absl::SimpleAtoi(numbers[2], &request.step);
}

// Requests by study, in the order in which a site makes them.
std::map<std::string, std::vector<Request>> RequestsOf(const std::vector<std::string>& names) {
  std::map<std::string, std::vector<Request>> requests;
  for (const std::string& name : names) {
    absl::string_view stem = name;
    Request request;
    request.file = name;
    if (!absl::ConsumeSuffix(&stem, ".pb") || !ConsumeKind(stem, request)) continue;
    if (IsPlainName(stem)) requests[std::string(stem)].push_back(request);
  }
  for (auto& [study, list] : requests) std::sort(list.begin(), list.end());
  return requests;
}

template <typename Message>
absl::StatusOr<Message> Parse(const std::string& bytes, const std::string& file, const std::string& study) {
  Message message;
  if (!message.ParseFromString(bytes) || message.study() != study) {
    return absl::InvalidArgumentError(absl::StrCat("'", file, "' is not a request of the study '", study, "'"));
  }
  return message;
}

v1::FolderError ErrorOf(const absl::Status& status, const std::string& answers_to) {
  const absl::Status shown = ForPeer(status);
  v1::FolderError error;
  error.set_code(static_cast<int>(shown.code()));
  error.set_message(std::string(shown.message()));
  error.set_answers_to(answers_to);
  return error;
}

// Whether a certificate may sign the files of this site's outbox.
absl::Status CheckSigner(const FolderServiceOptions& options, const Invitations& invitations, const std::string& site,
                         const std::string& certificate_pem) {
  ATTUNE_RETURN_IF_ERROR(CheckIssuedBy(certificate_pem, options.authority_pem, true));
  ATTUNE_ASSIGN_OR_RETURN(const int days_left, DaysLeft(certificate_pem));
  if (days_left < -kTravelDays) {
    return absl::UnauthenticatedError(absl::StrCat("its certificate expired ", -days_left, " days ago"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::string uri, UriOf(certificate_pem));
  if (uri != SiteUri(options.consortium, site)) {
    return absl::UnauthenticatedError(absl::StrCat("its certificate is that of '", uri, "'"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, KeyFingerprintOf(certificate_pem));
  return invitations.CheckKey({options.consortium, Role::kSite, site}, fingerprint);
}

SignedFolderOptions EndOf(const FolderServiceOptions& options, const Invitations* invitations, const std::string& site) {
  SignedFolderOptions end;
  end.folder = absl::StrCat(options.root, "/", site);
  end.site = site;
  end.own_box = "inbox";
  end.peer_box = "outbox";
  end.state_path = absl::StrCat(options.state_folder, "/", site, ".pb");
  end.max_peer_bytes = kMaxRequestBytes;
  end.key_pem = options.server.key_pem;
  end.certificate_pem = options.server.certificate_pem;
  end.check_peer = [&options, invitations, site](const std::string& certificate_pem) {
    return CheckSigner(options, *invitations, site, certificate_pem);
  };
  end.tell = [&options, site](const std::string& what) {
    spdlog::warn("folder of site '{}': {}", site, what);
    options.on_file(site, "inbox", absl::UnauthenticatedError(what));
  };
  return end;
}

// One site's folder.
class SiteFolder {
 public:
  SiteFolder(Desk* desk, Invitations* invitations, const FolderServiceOptions& options, std::string site,
             std::map<std::string, FileStamp>* verified, std::map<std::string, FolderFileSeen>* seen)
      : desk_(desk),
        invitations_(invitations),
        options_(options),
        verified_(verified),
        seen_(seen),
        site_(std::move(site)),
        outbox_(absl::StrCat(options.root, "/", site_, "/outbox")),
        inbox_(absl::StrCat(options.root, "/", site_, "/inbox")),
        files_(EndOf(options, invitations, site_)) {}

  // Enrols the site, when it asks for that.
  absl::Status Enroll() {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(inbox_, FileAccess::kShared));
    if (!IsPlainFolder(inbox_))
      return LocalError(absl::FailedPreconditionError(absl::StrCat("'", inbox_, "' is not a folder")));
    const absl::StatusOr<std::string> bytes = ReadPlainFile(absl::StrCat(outbox_, "/", kEnrollFile), kMaxRequestBytes);
    if (!IsPlainFolder(outbox_) || absl::IsNotFound(bytes.status())) return absl::OkStatus();
    if (!bytes.ok()) {
      Note(kEnrollFile, "", 0, bytes.status());
      return absl::OkStatus();
    }
    const std::string sha256 = Sha256Hex(*bytes);
    const std::int64_t version = desk_->Version();
    FolderFileSeen& seen = (*seen_)[SeenName(kEnrollFile)];
    if (seen.sha256 == sha256 && seen.version == version) return PutOwn(kEnrolledFile, seen.answer);
    v1::FolderEnrollRequest request;
    absl::StatusOr<v1::EnrollReply> enrolled = absl::UnauthenticatedError(
        absl::StrCat("'outbox/", kEnrollFile, "' is not a request of this folder's site: it was damaged or changed"));
    if (request.ParseFromString(*bytes) && request.site() == site_) enrolled = invitations_->EnrollByProof(request);
    v1::FolderEnrollReply reply;
    reply.set_answers_to(sha256);
    if (enrolled.ok()) {
      *reply.mutable_reply() = *enrolled;
    } else {
      *reply.mutable_error() = ErrorOf(enrolled.status(), sha256);
    }
    Note(kEnrollFile, sha256, version, enrolled.status());
    seen.answer = reply.SerializeAsString();
    return PutOwn(kEnrolledFile, seen.answer);
  }

  absl::Status Sweep(const std::vector<std::string>& studies) {
    std::map<std::string, std::vector<Request>> requests;
    if (IsPlainFolder(outbox_)) {
      ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> names, Entries(outbox_, IsNoFolder));
      requests = RequestsOf(names);
    }
    for (const std::string& study : studies) requests.try_emplace(study);
    absl::Status first;  // what is wrong with one study must not stop the others
    for (const auto& [study, list] : requests) first.Update(Serve(study, list));
    if (first.ok()) RemoveUnnamed();
    return first;
  }

 private:
  absl::Status Serve(const std::string& study, const std::vector<Request>& requests) {
    ATTUNE_RETURN_IF_ERROR(TakeIn(study, requests));
    const absl::StatusOr<v1::GetStudyReply> reply = desk_->GetStudy(site_, study);
    // Studies of others, and requests for one that does not exist, have nothing in the inbox but perhaps an error.
    if (absl::IsPermissionDenied(reply.status()) || absl::IsNotFound(reply.status())) return absl::OkStatus();
    if (!reply.ok()) return reply.status();
    for (const v1::Attachment& attachment : reply->attachments()) {
      ATTUNE_RETURN_IF_ERROR(Bring(study, "", attachment.sha256()));
    }
    ATTUNE_RETURN_IF_ERROR(PutOwn(absl::StrCat(study, ".study.pb"), reply->SerializeAsString()));
    if (reply->manifest().empty()) return absl::OkStatus();
    return BringNext(study, Sha256Hex(reply->manifest()));
  }

  // All requests; the first that is refused is told, and does not keep the others back.
  absl::Status TakeIn(const std::string& study, const std::vector<Request>& requests) {
    v1::FolderError error;
    for (const Request& request : requests) {
      const std::string sha256 = files_.PeerDigest(request.file);
      const std::int64_t version = desk_->Version();
      const auto seen = seen_->find(SeenName(request.file));
      const bool done = seen != seen_->end() && !sha256.empty() && seen->second.sha256 == sha256 && seen->second.outcome.ok() &&
                        seen->second.version == version;
      if (done) continue;
      const absl::Status taken = TakeInOne(study, request);
      Note(request.file, sha256, version, taken);
      if (!taken.ok() && error.code() == 0) error = ErrorOf(taken, sha256);
    }
    const std::string name = absl::StrCat(study, ".error.pb");
    // That nothing is wrong any more is said too: an old error that is put back is older than that.
    if (error.code() == 0) {
      ATTUNE_ASSIGN_OR_RETURN(const bool told, files_.HasWritten(name));
      if (!told) return absl::OkStatus();
    }
    return PutOwn(name, error.SerializeAsString());
  }

  absl::Status TakeInOne(const std::string& study, const Request& request) {
    const absl::StatusOr<std::string> payload = files_.Take(request.file);
    if (absl::IsUnauthenticated(payload.status())) return payload.status();
    if (!payload.ok()) return LocalError(payload.status());
    switch (request.kind) {
      case Request::kRegister: {
        ATTUNE_ASSIGN_OR_RETURN(const auto message, Parse<v1::RegisterRequest>(*payload, request.file, study));
        return desk_->Register(site_, message);
      }
      case Request::kUpload: {
        ATTUNE_ASSIGN_OR_RETURN(const auto header, Parse<v1::UploadHeader>(*payload, request.file, study));
        return TakeInUpload(header);
      }
      case Request::kReport: {
        ATTUNE_ASSIGN_OR_RETURN(const auto message, Parse<v1::ReportRequest>(*payload, request.file, study));
        return desk_->Report(site_, message);
      }
    }
    return absl::InternalError("a request of no kind");
  }

  absl::Status TakeInUpload(const v1::UploadHeader& header) {
    ATTUNE_ASSIGN_OR_RETURN(const v1::UploadState state, desk_->GetUpload(site_, header));
    if (state.recorded()) return absl::OkStatus();
    const std::string name = absl::StrCat(header.bundle().sha256(), ".bundle");
    const std::string path = absl::StrCat(outbox_, "/", name);
    std::error_code error;
    if (!IsPlainFile(path) || fs::file_size(path, error) != header.bundle().size() || error) {
      return absl::DataLossError(
          absl::StrCat("the outbox lacks '", name, "' with ", header.bundle().size(), " bytes; copy the folder again"));
    }
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(state.received()));
    v1::Chunk chunk;
    for (std::uint64_t offset = state.received(); offset < header.bundle().size(); offset += chunk.data().size()) {
      chunk.set_offset(offset);
      chunk.mutable_data()->resize(std::min<std::uint64_t>(kChunkBytes, header.bundle().size() - offset));
      if (!file.read(chunk.mutable_data()->data(), static_cast<std::streamsize>(chunk.data().size()))) {
        return absl::DataLossError(absl::StrCat("'", name, "' in the outbox cannot be read to its end; copy the folder again"));
      }
      ATTUNE_RETURN_IF_ERROR(desk_->Append(site_, header, chunk));
    }
    const absl::Status finished = desk_->FinishUpload(site_, header).status();
    if (!absl::IsDataLoss(finished)) return finished;
    return absl::DataLossError(
        absl::StrCat("'outbox/", name, "' is not what its name says: it was damaged or changed; copy the folder again"));
  }

  absl::Status BringNext(const std::string& study, const std::string& manifest_sha256) {
    v1::NextRequest request;
    request.set_study(study);
    request.set_manifest_sha256(manifest_sha256);
    ATTUNE_ASSIGN_OR_RETURN(const v1::NextReply next, desk_->Next(site_, request));
    for (const auto* list : {&next.bundles(), &next.sums()}) {
      for (const v1::BundleRef& bundle : *list) {
        ATTUNE_RETURN_IF_ERROR(Bring(study, manifest_sha256, bundle.sha256()));
      }
    }
    return PutOwn(absl::StrCat(study, ".next.pb"), next.SerializeAsString());
  }

  absl::Status Bring(const std::string& study, const std::string& manifest_sha256, const std::string& sha256) {
    v1::FetchRequest fetch;
    fetch.set_study(study);
    fetch.set_manifest_sha256(manifest_sha256);
    fetch.set_sha256(sha256);
    ATTUNE_ASSIGN_OR_RETURN(const BundleFile source, desk_->BundlePath(site_, fetch));
    ATTUNE_RETURN_IF_ERROR(CopyBundle(source.path, sha256));
    named_.insert(absl::StrCat(sha256, ".bundle"));
    return absl::OkStatus();
  }

  absl::Status CopyBundle(const std::string& from, const std::string& sha256) {
    const std::string to = absl::StrCat(inbox_, "/", sha256, ".bundle");
    // Whoever carries the folder may have damaged it. What was seen to be right is looked at again when it has changed.
    std::error_code error;
    if (IsPlainFile(to)) {
      const FileStamp stamp{fs::last_write_time(to, error), fs::file_size(to, error)};
      const auto seen = verified_->find(to);
      if (seen != verified_->end() && seen->second == stamp) return absl::OkStatus();
      if (const absl::StatusOr<std::string> found = Sha256OfFile(to); found.ok() && *found == sha256) {
        (*verified_)[to] = stamp;
        return absl::OkStatus();
      }
    }
    if (fs::symlink_status(to, error).type() != fs::file_type::not_found) {
      const std::string what =
          absl::StrCat("'inbox/", sha256, ".bundle' is not as it was written: it was damaged or changed; it is written again");
      spdlog::warn("folder of site '{}': {}", site_, what);
      options_.on_file(site_, "inbox", absl::DataLossError(what));
    }
    absl::StatusOr<AtomicFile> file = AtomicFile::Create(to, FileAccess::kShared);
    if (!file.ok()) return LocalError(file.status());
    const absl::StatusOr<std::shared_ptr<const MappedFile>> source = MappedFile::Open(from);
    if (!source.ok()) return LocalError(source.status());
    absl::string_view rest = (*source)->bytes();
    while (!rest.empty()) {
      file->Write(rest.substr(0, kChunkBytes));
      rest.remove_prefix(std::min(kChunkBytes, rest.size()));
    }
    return LocalError(std::move(*file).Commit());
  }

  // Bundles of steps that are over.
  void RemoveUnnamed() const {
    std::error_code error;
    for (fs::directory_iterator it(inbox_, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      std::error_code ignored;
      if (absl::EndsWith(name, ".bundle") && named_.count(name) == 0 && IsPlainFile(it->path().string()) &&
          fs::last_write_time(it->path(), ignored) + kKeepUnnamed < fs::file_time_type::clock::now()) {
        fs::remove(it->path(), ignored);
        verified_->erase(it->path().string());
      }
    }
  }

  absl::Status PutOwn(const std::string& name, const std::string& payload) const {
    return LocalError(files_.Put(name, payload));
  }

  std::string SeenName(const std::string& file) const { return absl::StrCat(site_, "/outbox/", file); }

  // Remembers what became of a file of the outbox, and tells it when that is new.
  void Note(const std::string& file, const std::string& sha256, std::int64_t version, const absl::Status& outcome) {
    const auto [seen, first] = seen_->try_emplace(SeenName(file));
    const bool known = !first && seen->second.sha256 == sha256 && seen->second.outcome == outcome;
    seen->second.sha256 = sha256;
    seen->second.version = version;
    seen->second.outcome = outcome;
    if (known) return;
    if (absl::IsUnauthenticated(outcome) || absl::IsDataLoss(outcome)) {
      spdlog::warn("'{}' of site '{}': {}", file, site_, Text(outcome));
    } else if (!outcome.ok()) {
      spdlog::info("'{}' of site '{}': {}", file, site_, Text(outcome));
    }
    options_.on_file(site_, absl::StrCat("outbox/", file), outcome);
  }

  Desk* const desk_;                                   // not owned
  Invitations* const invitations_;                     // not owned
  const FolderServiceOptions& options_;                // outlives this
  std::map<std::string, FileStamp>* const verified_;   // not owned
  std::map<std::string, FolderFileSeen>* const seen_;  // not owned
  const std::string site_;
  const std::string outbox_;
  const std::string inbox_;
  const SignedFolder files_;
  std::set<std::string> named_;  // bundles that some study's next.pb names
};

}  // namespace

FolderService::FolderService(Desk* desk, Invitations* invitations, FolderServiceOptions options)
    : desk_(desk), invitations_(invitations), options_(std::move(options)) {}

absl::Status FolderService::ReadKeys() {
  const std::int64_t version = desk_->Version();
  if (keys_version_ == version) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<MemberRecord> sites, invitations_->Sites());
  keys_.clear();
  for (const MemberRecord& site : sites) {
    if (site.certificate_pem.empty()) continue;
    ATTUNE_ASSIGN_OR_RETURN(keys_[site.name], KeyFingerprintOf(site.certificate_pem));
  }
  keys_version_ = version;
  return absl::OkStatus();
}

absl::Status FolderService::Sweep() {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options_.state_folder, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> sites, Entries(options_.root, IsFolder));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> studies, desk_->StudyNames());
  absl::Status first;
  for (const std::string& site : sites) {
    if (!IsPlainName(site)) {
      spdlog::debug("'{}/{}' is not named like a site and is left alone", options_.root, site);
      continue;
    }
    SiteFolder folder(desk_, invitations_, options_, site, &verified_, &seen_);
    absl::Status served = folder.Enroll();
    served.Update(ReadKeys());
    const auto key = keys_.find(site);
    if (served.ok() && key != keys_.end()) {
      const absl::Status counts = invitations_->CheckKey({options_.consortium, Role::kSite, site}, key->second);
      // What a revoked site left in its folder is not read.
      if (!absl::IsUnauthenticated(counts)) served = counts.ok() ? folder.Sweep(studies) : counts;
    }
    first.Update(WithContext(served, absl::StrCat("folder of site '", site, "'")));
  }
  return first;
}

}  // namespace attune

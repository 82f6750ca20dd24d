// SPDX-License-Identifier: Apache-2.0
#include "coordinator/folder_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "coordinator/errors.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxRequestBytes = std::uint64_t{1} << 20;
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

// Names of the plain files or folders in `folder`, sorted; everything else, symbolic links above all, is left alone.
absl::StatusOr<std::vector<std::string>> PlainEntries(const std::string& folder, fs::file_type type) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::file_type actual = it->symlink_status(error).type();
    const std::string name = it->path().filename().string();
    if (actual == type) {
      names.push_back(name);
    } else if (actual == fs::file_type::symlink) {
      spdlog::debug("'{}' is a symbolic link and is left alone", it->path().string());
    }
  }
  if (error) return LocalError(absl::NotFoundError(absl::StrCat("cannot read the folder '", folder, "': ", error.message())));
  std::sort(names.begin(), names.end());
  return names;
}

bool IsPlainFolder(const std::string& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::directory;
}

bool IsPlainFile(const std::string& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::regular;
}

absl::Status WriteIfChanged(const std::string& path, const std::string& bytes) {
  if (IsPlainFile(path)) {
    const absl::StatusOr<std::string> present = ReadFile(path);
    if (present.ok() && *present == bytes) return absl::OkStatus();
  }
  return LocalError(WriteFileAtomically(path, bytes, FileAccess::kShared));
}

// A request file of an outbox.
struct Request {
  enum Kind { kRegister = 0, kAnswer = 1, kReport = 2 };
  Kind kind = kRegister;
  std::uint32_t round = 0;  // answers
  std::string file;
};

// Requests by study, in the order in which a site makes them.
std::map<std::string, std::vector<Request>> RequestsOf(const std::vector<std::string>& names) {
  std::map<std::string, std::vector<Request>> requests;
  for (const std::string& name : names) {
    absl::string_view stem = name;
    Request request;
    request.file = name;
    if (!absl::ConsumeSuffix(&stem, ".pb")) continue;
    if (absl::ConsumeSuffix(&stem, ".register")) {
      request.kind = Request::kRegister;
    } else if (absl::ConsumeSuffix(&stem, ".report")) {
      request.kind = Request::kReport;
    } else {
      const std::size_t mark = stem.rfind(".answer-");
      if (mark == absl::string_view::npos) continue;
      request.kind = Request::kAnswer;
      if (!absl::SimpleAtoi(stem.substr(mark + std::strlen(".answer-")), &request.round)) continue;
      stem = stem.substr(0, mark);
    }
    if (IsPlainName(stem)) requests[std::string(stem)].push_back(request);
  }
  for (auto& [study, list] : requests) {
    std::sort(list.begin(), list.end(),
              [](const Request& a, const Request& b) { return std::pair(a.kind, a.round) < std::pair(b.kind, b.round); });
  }
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

// One site's folder.
class SiteFolder {
 public:
  SiteFolder(Desk* desk, std::string site, const std::string& root, std::map<std::string, FileStamp>* verified)
      : desk_(desk),
        verified_(verified),
        site_(std::move(site)),
        outbox_(absl::StrCat(root, "/", site_, "/outbox")),
        inbox_(absl::StrCat(root, "/", site_, "/inbox")) {}

  absl::Status Sweep(const std::vector<std::string>& studies) {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(inbox_, FileAccess::kShared));
    if (!IsPlainFolder(inbox_))
      return LocalError(absl::FailedPreconditionError(absl::StrCat("'", inbox_, "' is not a folder")));
    std::map<std::string, std::vector<Request>> requests;
    if (IsPlainFolder(outbox_)) {
      ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> names, PlainEntries(outbox_, fs::file_type::regular));
      requests = RequestsOf(names);
    }
    for (const std::string& study : studies) requests.try_emplace(study);
    absl::Status first;  // what is wrong with one study must not stop the others
    for (const auto& [study, list] : requests) first.Update(Serve(study, list));
    return first;
  }

 private:
  absl::Status Serve(const std::string& study, const std::vector<Request>& requests) {
    ATTUNE_RETURN_IF_ERROR(TakeIn(study, requests));
    const absl::StatusOr<v1::GetStudyReply> reply = desk_->GetStudy(site_, study);
    // Studies of others, and requests for one that does not exist, have nothing in the inbox but perhaps an error.
    if (absl::IsPermissionDenied(reply.status()) || absl::IsNotFound(reply.status())) return absl::OkStatus();
    if (!reply.ok()) return reply.status();
    ATTUNE_RETURN_IF_ERROR(WriteIfChanged(InboxPath(study, ".study.pb"), reply->SerializeAsString()));
    if (reply->manifest().empty()) return absl::OkStatus();
    return BringNext(study, Sha256Hex(reply->manifest()));
  }

  // All requests; the first that is refused is told, and does not keep the others back.
  absl::Status TakeIn(const std::string& study, const std::vector<Request>& requests) {
    const std::string error_path = InboxPath(study, ".error.pb");
    v1::FolderError error;
    for (const Request& request : requests) {
      const absl::StatusOr<std::string> bytes = ReadFile(absl::StrCat(outbox_, "/", request.file), kMaxRequestBytes);
      if (!bytes.ok()) {
        spdlog::warn("site '{}': {}", site_, bytes.status().ToString(absl::StatusToStringMode::kWithNoExtraData));
        continue;
      }
      const absl::Status taken = TakeInOne(study, request, *bytes);
      if (taken.ok()) continue;
      spdlog::info("'{}' of site '{}': {}", request.file, site_, taken.ToString(absl::StatusToStringMode::kWithNoExtraData));
      if (error.code() != 0) continue;
      const absl::Status shown = ForPeer(taken);
      error.set_code(static_cast<int>(shown.code()));
      error.set_message(std::string(shown.message()));
      error.set_answers_to(Sha256Hex(*bytes));
    }
    if (error.code() != 0) return WriteIfChanged(error_path, error.SerializeAsString());
    std::error_code ignored;
    if (IsPlainFile(error_path)) fs::remove(error_path, ignored);
    return absl::OkStatus();
  }

  absl::Status TakeInOne(const std::string& study, const Request& request, const std::string& bytes) {
    switch (request.kind) {
      case Request::kRegister: {
        ATTUNE_ASSIGN_OR_RETURN(const auto message, Parse<v1::RegisterRequest>(bytes, request.file, study));
        return desk_->Register(site_, message);
      }
      case Request::kAnswer: {
        ATTUNE_ASSIGN_OR_RETURN(const auto header, Parse<v1::UploadHeader>(bytes, request.file, study));
        return TakeInAnswer(header);
      }
      case Request::kReport: {
        ATTUNE_ASSIGN_OR_RETURN(const auto message, Parse<v1::ReportRequest>(bytes, request.file, study));
        return desk_->Report(site_, message);
      }
    }
    return absl::InternalError("a request of no kind");
  }

  absl::Status TakeInAnswer(const v1::UploadHeader& header) {
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
    return desk_->FinishUpload(site_, header).status();
  }

  absl::Status BringNext(const std::string& study, const std::string& manifest_sha256) {
    v1::NextRequest request;
    request.set_study(study);
    request.set_manifest_sha256(manifest_sha256);
    ATTUNE_ASSIGN_OR_RETURN(const v1::NextReply next, desk_->Next(site_, request));
    for (const v1::BundleRef& bundle : next.bundles()) {
      v1::FetchRequest fetch;
      fetch.set_study(study);
      fetch.set_manifest_sha256(manifest_sha256);
      fetch.set_sha256(bundle.sha256());
      ATTUNE_ASSIGN_OR_RETURN(const BundleFile source, desk_->BundlePath(site_, fetch));
      ATTUNE_RETURN_IF_ERROR(CopyBundle(source.path, bundle.sha256()));
    }
    return WriteIfChanged(InboxPath(study, ".next.pb"), next.SerializeAsString());
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

  std::string InboxPath(const std::string& study, const char* suffix) const { return absl::StrCat(inbox_, "/", study, suffix); }

  Desk* const desk_;                                  // not owned
  std::map<std::string, FileStamp>* const verified_;  // not owned
  const std::string site_;
  const std::string outbox_;
  const std::string inbox_;
};

}  // namespace

FolderService::FolderService(Desk* desk, std::string root) : desk_(desk), root_(std::move(root)) {}

absl::Status FolderService::Sweep() {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> sites, PlainEntries(root_, fs::file_type::directory));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> studies, desk_->StudyNames());
  absl::Status first;
  for (const std::string& site : sites) {
    if (!IsPlainName(site)) {
      spdlog::debug("'{}/{}' is not named like a site and is left alone", root_, site);
      continue;
    }
    first.Update(
        WithContext(SiteFolder(desk_, site, root_, &verified_).Sweep(studies), absl::StrCat("folder of site '", site, "'")));
  }
  return first;
}

}  // namespace attune

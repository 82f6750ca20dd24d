// SPDX-License-Identifier: Apache-2.0
//
// The desk by files, for hospitals that may not connect at all: each site has a folder of its own below a root, which travels
// (USB stick, shared drive). The layout is that of common/transport/folder_courier.h:
//
//   <site>/outbox/<study>.register.pb        RegisterRequest
//   <site>/outbox/<study>.answer-<round>.pb  UploadHeader, written after outbox/<sha256>.bundle
//   <site>/outbox/<study>.report.pb          ReportRequest
//   <site>/inbox/<study>.study.pb            GetStudyReply
//   <site>/inbox/<study>.next.pb             NextReply, written after inbox/<sha256>.bundle
//   <site>/inbox/<study>.error.pb            FolderError: the first request of the study that was refused
#ifndef ATTUNE_COORDINATOR_FOLDER_SERVICE_H_
#define ATTUNE_COORDINATOR_FOLDER_SERVICE_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "coordinator/desk.h"

namespace attune {

// By which a file is known not to have changed.
struct FileStamp {
  std::filesystem::file_time_type written;
  std::uintmax_t size = 0;
  bool operator==(const FileStamp&) const = default;
};

// Nothing authenticates a folder but who could write to it: the operator vouches that the folder named like a site came from
// that site. Not thread-safe.
class FolderService {
 public:
  // `desk` is not owned and outlives the service.
  FolderService(Desk* desk, std::string root);

  // Takes in what is new in every site's outbox and brings every inbox up to date; writes only files whose content changes,
  // each atomically. Requests that are refused are answered in the inbox. What is not a plain site folder, and every symbolic
  // link, is left alone and logged. Fails with NotFound when the root is missing, else with the first error of this machine,
  // after all sites were served.
  absl::Status Sweep();

 private:
  Desk* const desk_;  // not owned
  const std::string root_;
  std::map<std::string, FileStamp> verified_;  // bundles in inboxes whose digest was seen to be right
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_FOLDER_SERVICE_H_

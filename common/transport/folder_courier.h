// SPDX-License-Identifier: Apache-2.0
//
// The courier by files, for a hospital that may not connect at all: a folder, on a USB stick or a share, that the site and the
// coordinator (coordinator/folder_service.h) read and write in turn. Each .pb file is a SignedFile around the message named
// here; bundles are named by their digest in a signed file.
//
//   outbox/enroll.pb                FolderEnrollRequest, not signed   inbox/enrolled.pb       FolderEnrollReply
//   outbox/<study>.register.pb      RegisterRequest                   inbox/<study>.study.pb  GetStudyReply
//   outbox/<sha256>.bundle          an upload                         inbox/<study>.next.pb   NextReply
//   outbox/<study>.answer-<r>.pb    its UploadHeader                  inbox/<sha256>.bundle   what NextReply names
//   outbox/<study>.round-<r>-<attempt>-<step>.pb, for a step of secure aggregation
//   outbox/<study>.report.pb        ReportRequest                     inbox/<study>.error.pb  FolderError
#ifndef ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_
#define ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/transport/courier.h"

namespace attune {

struct FolderCourierOptions {
  std::string folder;      // this site's own; outbox/ and inbox/ are made when they are missing
  std::string state_path;  // as SignedFolderOptions: in the agent's own folder
  std::string site;
  std::string key_pem;  // this site's
  std::string certificate_pem;
  std::string ca_pem;  // the authority, by which the coordinator's files are known
  // How long GetStudy and Next look again for a file that is missing before they fail: none when people carry the folder by
  // hand.
  absl::Duration patience = absl::ZeroDuration();
  // Hears, in a sentence, of own files in the outbox that were changed.
  std::function<void(const std::string&)> tell = [](const std::string&) {};
};

// OK of Register, Submit and Report means: it lies in the outbox. What the coordinator refuses is told by the next call. A file
// that is not in the inbox yet is Unavailable; one that does not count (signed_folder.h) is Unauthenticated. Next looks again
// for up to its wait_ms (at most 10 s) while there is nothing to do, and takes a task whose result lies in the outbox already
// as one that the coordinator has not seen yet: it says WAIT. Submit removes what was sent for earlier steps of the study from
// the outbox.
absl::StatusOr<std::unique_ptr<Courier>> MakeFolderCourier(const FolderCourierOptions& options);

struct FolderEnrollment {
  std::string folder;
  std::string state_path;
  std::string site;
  std::string token;
  std::string certificate_request_pem;
  std::string ca_pem;
  absl::Duration patience = absl::ZeroDuration();
};

// Puts the request into the outbox and takes the certificate from the inbox; the same again goes on where it was. Unavailable:
// the coordinator has not answered yet. Else as the coordinator answered, or Unauthenticated for an answer that is not its.
absl::StatusOr<v1::EnrollReply> EnrollByFolder(const FolderEnrollment& enrollment);

// Takes the request from the outbox, once the certificate is kept.
void RemoveFolderEnrollment(const std::string& folder);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_

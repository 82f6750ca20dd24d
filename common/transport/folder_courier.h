// SPDX-License-Identifier: Apache-2.0
//
// The courier by files, for a hospital that may not connect at all: a folder, on a USB stick or a share, that the site and the
// coordinator (coordinator/folder_service.h) read and write in turn.
//
//   outbox/<study>.register.pb      RegisterRequest          inbox/<study>.study.pb   GetStudyReply
//   outbox/<sha256>.bundle          an answer                inbox/<study>.next.pb    NextReply
//   outbox/<study>.answer-<r>.pb    its UploadHeader         inbox/<sha256>.bundle    what NextReply names
//   outbox/<study>.report.pb        ReportRequest            inbox/<study>.error.pb   FolderError
#ifndef ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_
#define ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/transport/courier.h"

namespace attune {

struct FolderCourierOptions {
  std::string folder;  // this site's own; outbox/ and inbox/ are made when they are missing
  // How long GetStudy and Next look again for a file that is missing before they fail: none when people carry the folder by
  // hand.
  absl::Duration patience = absl::ZeroDuration();
};

// OK of Register, Submit and Report means: it lies in the outbox. What the coordinator refuses is told by the next call. A file
// that is not in the inbox yet is Unavailable. Next looks again for up to its wait_ms (at most 10 s) while there is nothing to
// do, and takes a task whose result lies in the outbox already as one that the coordinator has not seen yet: it says WAIT.
absl::StatusOr<std::unique_ptr<Courier>> MakeFolderCourier(const FolderCourierOptions& options);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_FOLDER_COURIER_H_

// SPDX-License-Identifier: Apache-2.0
//
// How a site speaks with its coordinator, whatever carries it: gRPC or a folder on a USB stick. A site agent knows only this.
#ifndef ATTUNE_COMMON_TRANSPORT_COURIER_H_
#define ATTUNE_COMMON_TRANSPORT_COURIER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/coordinator.pb.h"

namespace attune {

// Every call may fail with Unavailable or DeadlineExceeded, after retries where the courier retries; all other codes are final
// and are those of proto/attune/v1/coordinator.proto. Calls are idempotent. Not thread-safe.
class Courier {
 public:
  virtual ~Courier() = default;

  virtual absl::Status Register(const v1::RegisterRequest& request) = 0;
  virtual absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) = 0;
  virtual absl::StatusOr<v1::NextReply> Next(const v1::NextRequest& request) = 0;
  // Sends the bundle at `path` until the coordinator has recorded it, resuming where an earlier attempt stopped.
  virtual absl::Status Submit(const v1::UploadHeader& header, const std::string& path) = 0;
  // Receives the bundle `ref` into the file `path`, resuming likewise. DataLoss when its digest is another.
  virtual absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t size, const std::string& path) = 0;
  virtual absl::Status Report(const v1::ReportRequest& request) = 0;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_COURIER_H_

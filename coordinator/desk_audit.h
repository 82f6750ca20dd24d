// SPDX-License-Identifier: Apache-2.0
//
// The coordinator's audit log (<dir>/audit/, docs/audit.md): beside the journal, which records what was decided, it records who
// asked for what and what was refused.
#ifndef ATTUNE_COORDINATOR_DESK_AUDIT_H_
#define ATTUNE_COORDINATOR_DESK_AUDIT_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/storage/audit_log.h"

namespace attune {

// Thread-safe. An entry that cannot be written is told to the program's log: the calls themselves go on.
class DeskAudit {
 public:
  // Opens <folder>/audit, with the key audit/audit.key (0600), which is made when it is missing.
  static absl::StatusOr<std::unique_ptr<DeskAudit>> Open(const std::string& folder);

  // A call of a site, or a file of its folder, with its outcome. `subject`: the study and what else is known of it, in words.
  // The same call with the same subject and outcome as the site's last one of that name is not written again: sites ask every
  // few seconds.
  void Called(absl::string_view site, absl::string_view call, absl::string_view subject, const absl::Status& outcome);

  // A command of the operator, without the values of its options.
  absl::Status Commanded(absl::string_view command, const absl::Status& outcome);

  const AuditLog& log() const { return log_; }

 private:
  explicit DeskAudit(AuditLog log) : log_(std::move(log)) {}

  std::mutex mutex_;
  AuditLog log_;
  std::map<std::string, std::string> last_;  // what was written last, by site and call; guarded by mutex_
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_DESK_AUDIT_H_

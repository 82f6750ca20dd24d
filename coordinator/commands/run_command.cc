// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "coordinator/commands/commands.h"
#include "coordinator/desk.h"
#include "coordinator/grpc_operator.h"
#include "coordinator/invitations.h"
#include "coordinator/state_folder.h"

namespace attune {

absl::Status RunCommand(const CommandLine& line) {
  if (line.connect.empty() != line.identity.empty()) {
    return absl::InvalidArgumentError("--connect HOST:PORT and --identity FOLDER go together ('pki admin' makes the folder)");
  }
  if (!line.ask) {
    if (line.connect.empty()) return line.run();
    return absl::InvalidArgumentError("this command works on the coordinator's own machine only, without --connect");
  }
  if (!line.connect.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<Operator> remote, DialOperator(line.connect, line.identity));
    return line.ask(*remote);
  }
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(line.dir));
  Desk desk(state.consortium, state.journal.get(), state.blobs, FindMethod, {.authority_pem = state.authority.certificate_pem});
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  LocalOperator local(&desk, &invitations, state.blobs);
  return line.ask(local);
}

std::string DaysLeftText(const v1::MemberLine& member) {
  return member.has_certificate_days_left() ? absl::StrCat(member.certificate_days_left(), " days left") : "-";
}

}  // namespace attune

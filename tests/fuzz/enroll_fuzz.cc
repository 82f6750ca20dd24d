// SPDX-License-Identifier: Apache-2.0
//
// Enroll, the one call that anybody may make.
#include <memory>

#include "attune/v1/coordinator.pb.h"
#include "common/storage/journal.h"
#include "coordinator/invitations.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

struct Office {
  Office()
      : journal(*Journal::Open(folder / "journal.sqlite", true)), invitations("net", *MakeAuthority("net"), journal.get()) {
    Require(invitations.Invite("north", "localhost:1", 7).ok(), "a site can be invited");
  }
  testing::TempFolder folder;
  std::unique_ptr<Journal> journal;
  Invitations invitations;
};

}  // namespace

ATTUNE_FUZZ_TARGET(enroll)(absl::string_view bytes) {
  static Office office;
  v1::EnrollRequest request;
  if (!request.ParseFromString(std::string(bytes))) return;
  const absl::Status status = office.invitations.Enroll(request).status();
  Require(!status.ok(), "no certificate without the token");
  RequireForPeer(status, office.folder.path());
}

}  // namespace attune::fuzz

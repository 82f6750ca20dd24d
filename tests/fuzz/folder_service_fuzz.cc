// SPDX-License-Identifier: Apache-2.0
//
// Files in a site's outbox, as they come on a stick: signed by the site, whose key a thief may have, or not. Each file: a byte
// that chooses its name and whether it is signed, and its content.
#include <filesystem>

#include "absl/time/clock.h"
#include "common/security/certificates.h"
#include "common/transport/signed_folder.h"
#include "coordinator/folder_service.h"
#include "coordinator/invitations.h"
#include "tests/fuzz/desk_study.h"

namespace attune::fuzz {
namespace {

struct ServiceKeys {
  KeyAndCertificate authority = MakeAuthority("net").value();
  KeyAndCertificate server = MakeServerCertificate(authority, "net", {"127.0.0.1"}, 30).value();
  KeyAndRequest site = MakeKeyAndRequest("north").value();
};

}  // namespace

ATTUNE_FUZZ_TARGET(folder_service)(absl::string_view bytes) {
  static constexpr const char* kNames[] = {"demo.register.pb",  "demo.answer-1.pb", "demo.answer-2.pb",    "demo.report.pb",
                                           "other.register.pb", "demo.answer-.pb",  "demo.round-1-1-3.pb", "enroll.pb"};
  static const ServiceKeys& keys = *new ServiceKeys;
  DeskStudy study;
  Invitations invitations("net", keys.authority, study.journal.get(), absl::Now);
  v1::EnrollRequest enroll;
  enroll.set_site("north");
  enroll.set_token(invitations.Invite("north", "", 7)->token());
  enroll.set_certificate_request_pem(keys.site.request_pem);
  const std::string certificate_pem = invitations.Enroll(enroll)->certificate_pem();

  const std::string root = study.folder / "exchange";
  std::filesystem::create_directories(root + "/north/outbox");
  FolderService service(study.desk.get(), &invitations,
                        {.root = root,
                         .state_folder = study.folder / "folders",
                         .consortium = "net",
                         .authority_pem = keys.authority.certificate_pem,
                         .server = keys.server});
  const SignedFolder site({.folder = root + "/north",
                           .site = "north",
                           .own_box = "outbox",
                           .peer_box = "inbox",
                           .state_path = study.folder / "north.pb",
                           .key_pem = keys.site.key_pem,
                           .certificate_pem = certificate_pem,
                           .check_peer = [](const std::string&) { return absl::OkStatus(); }});
  Input input(bytes);
  for (int i = 0; i < 8 && !input.empty(); ++i) {
    const std::uint8_t choice = input.Byte();
    const std::string content = input.Bytes();
    if ((choice & 0x80) != 0) {  // a bundle, and a header that belongs to the study and names it
      const DeskStudy::Upload upload = study.UploadOf(1 + choice % 2, content);
      study.folder.Write(absl::StrCat("exchange/north/outbox/", upload.header.bundle().sha256(), ".bundle"), content);
      RequirePrintable(site.Put(absl::StrCat("demo.answer-", 1 + choice % 2, ".pb"), upload.header.SerializeAsString()));
    } else if ((choice & 0x40) != 0) {
      study.folder.Write(absl::StrCat("exchange/north/outbox/", kNames[choice % 8]), content);
    } else {
      RequirePrintable(site.Put(kNames[choice % 8], content));
    }
  }
  RequirePrintable(service.Sweep());
  v1::FolderError error;
  if (const auto told = site.Take("demo.error.pb"); told.ok() && error.ParseFromString(*told)) {
    RequireForPeer(absl::InvalidArgumentError(error.message()), study.folder.path());
  }
  v1::NextReply next;
  const auto what = site.Take("demo.next.pb");
  Require(what.ok() && next.ParseFromString(*what) && next.task() != 0, "the site is told what to do");
  study.CheckRecord();
}

}  // namespace attune::fuzz

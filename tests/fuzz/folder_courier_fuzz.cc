// SPDX-License-Identifier: Apache-2.0
//
// Files in a site's inbox, as they come on a stick: the study, what to do next, an error, and a bundle; signed by the
// coordinator, or, where a byte says so, lying there as they are.
#include <filesystem>

#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/security/certificates.h"
#include "common/transport/folder_courier.h"
#include "common/transport/signed_folder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

struct Keys {
  KeyAndCertificate authority = MakeAuthority("net").value();
  KeyAndCertificate server = MakeServerCertificate(authority, "net", {"127.0.0.1"}, 30).value();
  KeyAndRequest site = MakeKeyAndRequest("north").value();
  std::string certificate_pem = SignSiteRequest(authority, site.request_pem, SiteUri("net", "north"), 30).value();
};

}  // namespace

ATTUNE_FUZZ_TARGET(folder_courier)(absl::string_view bytes) {
  static constexpr const char* kNames[] = {"demo.study.pb", "demo.next.pb", "demo.error.pb"};
  static const Keys& keys = *new Keys;
  const testing::TempFolder folder;
  const auto courier = MakeFolderCourier({.folder = folder.path(),
                                          .state_path = folder / "state.pb",
                                          .site = "north",
                                          .key_pem = keys.site.key_pem,
                                          .certificate_pem = keys.certificate_pem,
                                          .ca_pem = keys.authority.certificate_pem});
  Require(courier.ok(), "the folder can be used");
  const SignedFolder coordinator({.folder = folder.path(),
                                  .site = "north",
                                  .own_box = "inbox",
                                  .peer_box = "outbox",
                                  .state_path = folder / "coordinator.pb",
                                  .key_pem = keys.server.key_pem,
                                  .certificate_pem = keys.server.certificate_pem,
                                  .check_peer = [](const std::string&) { return absl::OkStatus(); }});
  Input input(bytes);
  for (const char* name : kNames) {
    const std::string content = input.Bytes();
    if (content.empty()) continue;
    if (content.front() == '\xff') {
      folder.Write(std::string("inbox/") + name, content);
    } else {
      RequirePrintable(coordinator.Put(name, content));
    }
  }
  const std::string bundle = input.Bytes();
  const auto study = (*courier)->GetStudy("demo");
  RequirePrintable(study.status());
  v1::NextRequest request;
  request.set_study("demo");
  request.set_manifest_sha256(Sha256Hex(study.ok() ? study->manifest() : ""));
  const auto next = (*courier)->Next(request);
  RequirePrintable(next.status());
  if (!next.ok()) return;
  for (const v1::BundleRef& ref : next->bundles()) {
    if (IsSha256Hex(ref.sha256())) folder.Write("inbox/" + ref.sha256() + ".bundle", bundle);
    v1::FetchRequest fetch;
    fetch.set_study("demo");
    fetch.set_sha256(ref.sha256());
    const absl::Status fetched = (*courier)->Fetch(fetch, ref.size(), folder / "fetched");
    RequirePrintable(fetched);
    if (fetched.ok()) Require(Sha256Hex(folder.Read("fetched")) == ref.sha256(), "what was fetched is what was named");
  }
}

}  // namespace attune::fuzz

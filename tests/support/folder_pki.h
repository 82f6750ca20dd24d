// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_FOLDER_PKI_H_
#define ATTUNE_TESTS_SUPPORT_FOLDER_PKI_H_

#include <fstream>
#include <string>

#include "common/security/certificates.h"
#include "common/transport/signed_folder.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {

// A consortium "net" with its authority and coordinator, and sites whose files it may sign.
struct FolderPki {
  explicit FolderPki(const KeyAndCertificate& made = *MakeAuthority("net"))
      : authority(made), server(*MakeServerCertificate(made, "net", {"127.0.0.1"}, 10)) {}

  KeyAndCertificate SiteOf(const std::string& site, int days = 10) const {
    const KeyAndRequest request = *MakeKeyAndRequest(site);
    return {request.key_pem, *SignSiteRequest(authority, request.request_pem, SiteUri("net", site), days)};
  }

  const KeyAndCertificate authority;
  const KeyAndCertificate server;
};

// An end of `folder` that signs with `own` and takes whatever is signed by anybody: what a forger has, or the other side.
inline SignedFolder EndFor(const std::string& folder, const std::string& site, const std::string& own_box,
                           const KeyAndCertificate& own, const std::string& state_path) {
  SignedFolderOptions end;
  end.folder = folder;
  end.site = site;
  end.own_box = own_box;
  end.peer_box = own_box == "inbox" ? "outbox" : "inbox";
  end.state_path = state_path;
  end.key_pem = own.key_pem;
  end.certificate_pem = own.certificate_pem;
  end.check_peer = [](const std::string&) { return absl::OkStatus(); };
  return SignedFolder(std::move(end));
}

// Turns one bit of the byte in the middle of a file.
inline void FlipByte(const std::string& path, std::size_t at) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_FOLDER_PKI_H_

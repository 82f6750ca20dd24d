// SPDX-License-Identifier: Apache-2.0
//
// PEM text to OpenSSL's objects. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_PEM_H_
#define ATTUNE_COMMON_SECURITY_PEM_H_

#include <openssl/pem.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/security/openssl_handles.h"

namespace attune::openssl {

inline constexpr std::size_t kMaxPemBytes = std::size_t{64} << 10;

// A callback that knows no password: without one OpenSSL would ask at the terminal.
inline int NoPassword(char*, int, int, void*) { return 0; }

// The first object of its kind in `pem`. `what` names it in the error, InvalidArgument; `read` is one of OpenSSL's
// PEM_read_bio_*.
template <typename Handle, typename Read>
absl::StatusOr<Handle> ParsePem(absl::string_view pem, absl::string_view what, Read read) {
  if (pem.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", what, " has ", pem.size(), " bytes, more than the limit of ", kMaxPemBytes));
  }
  const Bio bio = ReadFrom(pem);
  Handle handle(bio == nullptr ? nullptr : read(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (handle == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the ", what, " is not readable, expected PEM text"));
  }
  return handle;
}

inline absl::StatusOr<Certificate> ParseCertificate(absl::string_view pem) {
  return ParsePem<Certificate>(pem, "certificate", PEM_read_bio_X509);
}

inline absl::StatusOr<Key> ParsePrivateKey(absl::string_view pem, absl::string_view what) {
  return ParsePem<Key>(pem, what, PEM_read_bio_PrivateKey);
}

}  // namespace attune::openssl

#endif  // ATTUNE_COMMON_SECURITY_PEM_H_

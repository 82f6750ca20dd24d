// SPDX-License-Identifier: Apache-2.0
#include "common/security/token_proof.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"

namespace attune {

std::string TokenProof(absl::string_view token_sha256, absl::string_view site, absl::string_view certificate_request_pem) {
  // Digests of a fixed length, so that no two pairs of name and request read alike.
  const std::string text = absl::StrCat("attune enrol by folder", Sha256Hex(site), Sha256Hex(certificate_request_pem));
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned int size = 0;
  HMAC(EVP_sha256(), token_sha256.data(), static_cast<int>(token_sha256.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(mac.data()), size));
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/security/wipe.h"

#include <openssl/crypto.h>

namespace attune {

void Wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

}  // namespace attune

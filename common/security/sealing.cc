// SPDX-License-Identifier: Apache-2.0
#include "common/security/sealing.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "common/security/openssl_handles.h"

namespace attune {
namespace {

unsigned char* BytesOf(std::string& text, std::size_t from = 0) { return reinterpret_cast<unsigned char*>(text.data()) + from; }

}  // namespace

absl::StatusOr<std::string> Seal(const SecretBytes& key, absl::string_view plain, absl::string_view context) {
  const openssl::Cipher cipher(EVP_CIPHER_CTX_new());
  std::string sealed(kSealNonceBytes + plain.size() + kSealTagBytes, '\0');
  int size = 0;
  if (cipher == nullptr || RAND_bytes(BytesOf(sealed), kSealNonceBytes) != 1 ||
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), BytesOf(sealed)) != 1 ||
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, openssl::BytesOf(context), static_cast<int>(context.size())) != 1 ||
      EVP_EncryptUpdate(cipher.get(), BytesOf(sealed, kSealNonceBytes), &size, openssl::BytesOf(plain),
                        static_cast<int>(plain.size())) != 1 ||
      EVP_EncryptFinal_ex(cipher.get(), BytesOf(sealed, kSealNonceBytes + plain.size()), &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kSealTagBytes,
                          BytesOf(sealed, kSealNonceBytes + plain.size())) != 1) {
    return openssl::Error("seal");
  }
  return sealed;
}

absl::StatusOr<std::string> OpenSealed(const SecretBytes& key, absl::string_view sealed, absl::string_view context) {
  if (sealed.size() < kSealNonceBytes + kSealTagBytes) {
    return absl::InvalidArgumentError(absl::StrCat("what was sealed has ", sealed.size(), " bytes, fewer than its frame"));
  }
  const openssl::Cipher cipher(EVP_CIPHER_CTX_new());
  std::string plain(sealed.size() - kSealNonceBytes - kSealTagBytes, '\0');
  std::string tag(sealed.substr(kSealNonceBytes + plain.size()));
  int size = 0;
  const bool opened =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), openssl::BytesOf(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, openssl::BytesOf(context), static_cast<int>(context.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), BytesOf(plain), &size, openssl::BytesOf(sealed) + kSealNonceBytes,
                        static_cast<int>(plain.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kSealTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), BytesOf(plain, plain.size()), &size) == 1;
  ERR_clear_error();
  if (opened) return plain;
  Wipe(plain);
  return absl::InvalidArgumentError(
      "what was sealed cannot be opened: it was changed, or sealed for another or in another session");
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/security/key_agreement.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>

#include "common/base/status.h"
#include "common/security/openssl_handles.h"

namespace attune {
namespace {

// `number` in so many bytes, the highest first.
void AppendNumber(std::uint64_t number, int bytes, std::string& text) {
  while (bytes-- > 0) text.push_back(static_cast<char>((number >> (8 * bytes)) & 0xff));
}

void AppendPart(absl::string_view part, std::string& text) {
  AppendNumber(part.size(), 4, text);
  absl::StrAppend(&text, part);
}

openssl::Key PrivateKeyFrom(const SecretBytes& bytes) {
  return openssl::Key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes.data(), SecretBytes::kSize));
}

EVP_KDF* Hkdf() {
  static const openssl::Kdf& hkdf = *new openssl::Kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  return hkdf.get();
}

OSSL_PARAM OctetsOf(const char* name, absl::string_view bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(bytes.data()), bytes.size());
}

}  // namespace

absl::StatusOr<std::string> PublicKeyOf(const SecretBytes& private_key) {
  const openssl::Key key = PrivateKeyFrom(private_key);
  std::string bytes(SecretBytes::kSize, '\0');
  std::size_t size = bytes.size();
  if (key == nullptr || EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) != 1 ||
      size != bytes.size()) {
    return openssl::Error("make a public key");
  }
  return bytes;
}

absl::StatusOr<SecretBytes> Agree(const SecretBytes& private_key, absl::string_view public_key) {
  if (public_key.size() != SecretBytes::kSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a public key has ", public_key.size(), " bytes, expected ", SecretBytes::kSize));
  }
  const openssl::Key own = PrivateKeyFrom(private_key);
  const openssl::Key peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, openssl::BytesOf(public_key), public_key.size()));
  const openssl::KeyContext context(own == nullptr ? nullptr : EVP_PKEY_CTX_new(own.get(), nullptr));
  if (peer == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1) {
    return openssl::Error("agree on a key");
  }
  SecretBytes secret;
  std::size_t size = SecretBytes::kSize;
  const bool derived = EVP_PKEY_derive(context.get(), secret.data(), &size) == 1 && size == SecretBytes::kSize;
  ERR_clear_error();
  if (!derived || secret.SameAs(SecretBytes())) {
    return absl::InvalidArgumentError("a public key is of low order, so that it would give a secret that everybody knows");
  }
  return secret;
}

absl::Status HkdfSha256(absl::string_view secret, absl::string_view salt, absl::string_view info,
                        std::span<unsigned char> out) {
  const openssl::KdfContext context(EVP_KDF_CTX_new(Hkdf()));
  char digest[] = "SHA256";
  const std::array<OSSL_PARAM, 5> parameters = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                                                OctetsOf(OSSL_KDF_PARAM_KEY, secret), OctetsOf(OSSL_KDF_PARAM_SALT, salt),
                                                OctetsOf(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  if (context == nullptr || EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()) != 1) {
    return openssl::Error("derive a key");
  }
  return absl::OkStatus();
}

std::string UseOfKey(absl::string_view use, absl::string_view first, absl::string_view second, std::uint64_t chunk) {
  std::string info;
  AppendPart("attune secure aggregation 1", info);
  AppendPart(use, info);
  AppendPart(first, info);
  AppendPart(second, info);
  AppendNumber(chunk, 8, info);
  return info;
}

absl::StatusOr<SecretBytes> DeriveKey(const SecretBytes& secret, absl::string_view session_id, absl::string_view use) {
  SecretBytes key;
  ATTUNE_RETURN_IF_ERROR(HkdfSha256(secret.view(), session_id, use, {key.data(), SecretBytes::kSize}));
  return key;
}

}  // namespace attune

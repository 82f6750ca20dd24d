// SPDX-License-Identifier: Apache-2.0
#include "common/security/signature.h"

#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/security/openssl_handles.h"
#include "common/security/pem.h"

namespace attune {
namespace {

constexpr std::size_t kMaxSignatureBytes = 1024;  // RSA of 8192 bits

void FreeBytes(unsigned char* bytes) { OPENSSL_free(bytes); }
using Bytes = std::unique_ptr<unsigned char, openssl::Free<FreeBytes>>;
using Names = std::unique_ptr<GENERAL_NAMES, openssl::Free<GENERAL_NAMES_free>>;

}  // namespace

absl::StatusOr<std::string> KeyFingerprintOf(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
  const Bytes owned(der);
  if (size <= 0) return openssl::Error("write a public key");
  return Sha256Hex(absl::string_view(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)));
}

absl::StatusOr<std::string> Sign(absl::string_view key_pem, absl::string_view purpose, absl::string_view bytes) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Key key, openssl::ParsePrivateKey(key_pem, "private key"));
  const openssl::DigestContext context(EVP_MD_CTX_new());
  const char zero = '\0';
  std::size_t size = 0;
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSignUpdate(context.get(), purpose.data(), purpose.size()) != 1 ||
      EVP_DigestSignUpdate(context.get(), &zero, 1) != 1 ||
      EVP_DigestSignUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestSignFinal(context.get(), nullptr, &size) != 1) {
    return openssl::Error("sign");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSignFinal(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size) != 1) {
    return openssl::Error("sign");
  }
  signature.resize(size);
  return signature;
}

absl::Status VerifySignature(absl::string_view certificate_pem, absl::string_view purpose, absl::string_view bytes,
                             absl::string_view signature) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  const openssl::DigestContext context(EVP_MD_CTX_new());
  const char zero = '\0';
  EVP_PKEY* const key = X509_get0_pubkey(certificate.get());
  const bool holds =
      context != nullptr && key != nullptr && signature.size() <= kMaxSignatureBytes &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
      EVP_DigestVerifyUpdate(context.get(), purpose.data(), purpose.size()) == 1 &&
      EVP_DigestVerifyUpdate(context.get(), &zero, 1) == 1 &&
      EVP_DigestVerifyUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
      EVP_DigestVerifyFinal(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size()) == 1;
  ERR_clear_error();
  if (holds) return absl::OkStatus();
  return absl::UnauthenticatedError(absl::StrCat("the signature '", purpose, "' is not by the key of its certificate"));
}

absl::Status CheckIssuedBy(absl::string_view certificate_pem, absl::string_view authority_pem, bool at_any_time) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate authority, openssl::ParseCertificate(authority_pem));
  const openssl::Store store(X509_STORE_new());
  const openssl::StoreContext context(X509_STORE_CTX_new());
  if (store == nullptr || context == nullptr || X509_STORE_add_cert(store.get(), authority.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1) {
    return openssl::Error("check a certificate");
  }
  if (at_any_time) X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context.get()), X509_V_FLAG_NO_CHECK_TIME);
  const bool issued = X509_verify_cert(context.get()) == 1;
  const int code = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (issued) return absl::OkStatus();
  return absl::UnauthenticatedError(
      absl::StrCat("the certificate does not count with the consortium's authority: ", X509_verify_cert_error_string(code)));
}

absl::StatusOr<std::string> UriOf(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  std::string uri;
  int uris = 0;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* const text = name->d.uniformResourceIdentifier;
    uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text)));
    ++uris;
  }
  if (uris == 1) return uri;
  return absl::UnauthenticatedError(absl::StrCat("the certificate has ", uris, " URIs among its names, expected one"));
}

}  // namespace attune

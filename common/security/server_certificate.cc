// SPDX-License-Identifier: Apache-2.0
#include "common/security/server_certificate.h"

#include <openssl/x509v3.h>

#include <memory>

#include "common/base/status.h"
#include "common/security/openssl_handles.h"
#include "common/security/pem.h"

namespace attune {
namespace {

bool NamesUri(const X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, openssl::Free<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    if (sk_GENERAL_NAME_value(names.get(), i)->type == GEN_URI) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckServerCertificate(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  // Flags are those of extensions that are there and could be read.
  const bool is_server = (X509_get_extension_flags(certificate.get()) & EXFLAG_XKUSAGE) != 0 &&
                         (X509_get_extended_key_usage(certificate.get()) & XKU_SSL_SERVER) != 0 && !NamesUri(certificate.get());
  ERR_clear_error();
  if (is_server) return absl::OkStatus();
  return absl::UnauthenticatedError("the certificate is not that of a coordinator");
}

}  // namespace attune

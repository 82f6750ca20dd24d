// SPDX-License-Identifier: Apache-2.0
#include "common/security/certificates.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/openssl_handles.h"
#include "common/security/pem.h"

namespace attune {
namespace {

constexpr int kAuthorityDays = 3653;  // ten years
constexpr int kClockSkewSeconds = 300;
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;  // larger keys only cost the verifier time

template <typename Write>
absl::StatusOr<std::string> ToPem(absl::string_view what, Write write) {
  const openssl::Bio bio(BIO_new(BIO_s_secmem()));  // wiped when it is freed, for it may hold a key
  if (bio == nullptr || write(bio.get()) != 1) return openssl::Error(absl::StrCat("write the ", what));
  return openssl::TakeText(bio);
}

absl::StatusOr<std::string> KeyToPem(EVP_PKEY* key) {
  return ToPem("key",
               [key](BIO* bio) { return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

absl::StatusOr<std::string> CertificateToPem(X509* certificate) {
  return ToPem("certificate", [certificate](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

absl::StatusOr<openssl::Key> MakeKey() {
  openssl::Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return openssl::Error("make a key");
  return key;
}

// Which keys a site may have: those that every TLS library of our peers takes.
absl::Status CheckKey(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits >= kMinRsaBits && bits <= kMaxRsaBits) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the request's RSA key has ", bits, " bits, expected ", kMinRsaBits, " to ",
                                                   kMaxRsaBits, "; make a new request"));
  }
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    std::array<char, 64> group = {};
    std::size_t size = 0;
    int explicit_parameters = 0;
    EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters);
    EVP_PKEY_get_group_name(key, group.data(), group.size(), &size);
    const absl::string_view name(group.data());
    ERR_clear_error();
    if (explicit_parameters == 0 && (name == SN_X9_62_prime256v1 || name == SN_secp384r1)) return absl::OkStatus();
    return absl::InvalidArgumentError("the request's elliptic curve is not P-256 or P-384; make a new request");
  }
  const char* type = EVP_PKEY_get0_type_name(key);
  return absl::InvalidArgumentError(absl::StrCat("the request's key is of type ", type == nullptr ? "unknown" : type,
                                                 ", expected EC (P-256, P-384) or RSA; make a new request"));
}

absl::Status AddName(X509_NAME* name, const char* field, absl::string_view value) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(value.data());
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, static_cast<int>(value.size()), -1, 0) != 1) {
    return openssl::Error("write a name");
  }
  return absl::OkStatus();
}

// 128 random bits, positive and not zero.
absl::Status SetRandomSerial(X509* certificate) {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return openssl::Error("make random bytes");
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  const openssl::BigNumber number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  if (number == nullptr || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return openssl::Error("write a serial number");
  }
  return absl::OkStatus();
}

struct ExtensionText {
  int nid;
  std::string value;  // in the notation of openssl's x509v3_config
};

struct CertificatePlan {
  absl::string_view consortium;
  absl::string_view common_name;
  int days = 0;
  std::vector<ExtensionText> extensions;
};

absl::Status AddExtensions(X509* certificate, X509* issuer, const std::vector<ExtensionText>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const ExtensionText& text : extensions) {
    const openssl::Extension extension(X509V3_EXT_nconf_nid(nullptr, &context, text.nid, text.value.c_str()));
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
      return openssl::Error(absl::StrCat("write the extension ", OBJ_nid2sn(text.nid)));
    }
  }
  return absl::OkStatus();
}

// A certificate for `subject_key`, signed by `issuer_key`. `issuer` is null where it signs itself.
absl::StatusOr<std::string> Issue(const CertificatePlan& plan, EVP_PKEY* subject_key, X509* issuer, EVP_PKEY* issuer_key) {
  if (plan.days < 1 || plan.days > kAuthorityDays) {
    return absl::InvalidArgumentError(
        absl::StrCat("a certificate cannot be valid for ", plan.days, " days, expected 1 to ", kAuthorityDays));
  }
  const openssl::Certificate certificate(X509_new());
  if (certificate == nullptr) return openssl::Error("make a certificate");
  X509* const cert = certificate.get();
  if (X509_set_version(cert, X509_VERSION_3) != 1) return openssl::Error("set the version");
  ATTUNE_RETURN_IF_ERROR(SetRandomSerial(cert));
  if (X509_gmtime_adj(X509_getm_notBefore(cert), -kClockSkewSeconds) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(cert), plan.days, 0, nullptr) == nullptr) {
    return openssl::Error("write the time of validity");
  }
  // No certificate outlives its authority.
  if (issuer != nullptr && ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(issuer)) > 0 &&
      X509_set1_notAfter(cert, X509_get0_notAfter(issuer)) != 1) {
    return openssl::Error("write the time of validity");
  }
  ATTUNE_RETURN_IF_ERROR(AddName(X509_get_subject_name(cert), "O", plan.consortium));
  ATTUNE_RETURN_IF_ERROR(AddName(X509_get_subject_name(cert), "CN", plan.common_name));
  X509* const signer = issuer != nullptr ? issuer : cert;
  if (X509_set_issuer_name(cert, X509_get_subject_name(signer)) != 1 || X509_set_pubkey(cert, subject_key) != 1) {
    return openssl::Error("write the issuer and the key");
  }
  ATTUNE_RETURN_IF_ERROR(AddExtensions(cert, signer, plan.extensions));
  if (X509_sign(cert, issuer_key, EVP_sha256()) <= 0) return openssl::Error("sign a certificate");
  return CertificateToPem(cert);
}

struct Authority {
  openssl::Certificate certificate;
  openssl::Key key;
};

absl::StatusOr<Authority> ParseAuthority(const KeyAndCertificate& pem) {
  Authority authority;
  ATTUNE_ASSIGN_OR_RETURN(authority.certificate, openssl::ParseCertificate(pem.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(authority.key, openssl::ParsePrivateKey(pem.key_pem, "authority's key"));
  const bool same = X509_check_private_key(authority.certificate.get(), authority.key.get()) == 1;
  ERR_clear_error();
  if (!same) return absl::InvalidArgumentError("the authority's key and certificate do not belong together");
  if (X509_check_ca(authority.certificate.get()) != 1) {
    return absl::InvalidArgumentError("the authority's certificate may not sign others; expected the one of 'pki init'");
  }
  return authority;
}

std::vector<ExtensionText> LeafExtensions(const std::string& purpose, const std::string& names) {
  return {{NID_basic_constraints, "critical,CA:FALSE"},
          {NID_key_usage, "critical,digitalSignature"},
          {NID_ext_key_usage, purpose},
          {NID_subject_alt_name, names},
          {NID_subject_key_identifier, "hash"},
          {NID_authority_key_identifier, "keyid:always"}};
}

// "DNS:name" or "IP:address". Only characters that mean nothing to OpenSSL's notation get through.
absl::StatusOr<std::string> AlternativeNameOf(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address;
  if (::inet_pton(AF_INET, host.c_str(), address.data()) == 1 || ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1) {
    return absl::StrCat("IP:", host);
  }
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-';
  });
  if (host.empty() || host.size() > 253 || !plain || !absl::ascii_isalnum(static_cast<unsigned char>(host[0]))) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", host, "' is not a host: expected a DNS name or an IP address, without a port"));
  }
  return absl::StrCat("DNS:", host);
}

absl::Status CheckConsortium(absl::string_view consortium) {
  if (IsPlainName(consortium)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", consortium, "' cannot name a consortium: expected 1 to 63 of [A-Za-z0-9._-], first a letter or digit"));
}

absl::StatusOr<std::string> RequestFor(EVP_PKEY* key, absl::string_view name) {
  if (!IsPlainName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' cannot name a site: expected 1 to 63 of [A-Za-z0-9._-], first a letter or digit"));
  }
  const openssl::Request request(X509_REQ_new());
  if (request == nullptr) return openssl::Error("make a certificate request");
  ATTUNE_RETURN_IF_ERROR(AddName(X509_REQ_get_subject_name(request.get()), "CN", name));
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 || X509_REQ_set_pubkey(request.get(), key) != 1 ||
      X509_REQ_sign(request.get(), key, EVP_sha256()) <= 0) {
    return openssl::Error("sign a certificate request");
  }
  return ToPem("request", [&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); });
}

absl::StatusOr<std::string> SignRequest(const KeyAndCertificate& authority, absl::string_view request_pem, Role role,
                                        absl::string_view uri, int days) {
  const absl::StatusOr<PeerIdentity> identity = ParsePeerUri(uri);
  if (!identity.ok()) return absl::InvalidArgumentError(identity.status().message());
  if (identity->role != role) return absl::InvalidArgumentError(absl::StrCat("'", uri, "' is of another role"));
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Request request,
                          openssl::ParsePem<openssl::Request>(request_pem, "certificate request", PEM_read_bio_X509_REQ));
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("the certificate request holds no key that can be read");
  ATTUNE_RETURN_IF_ERROR(CheckKey(key));
  const bool signature_holds = X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!signature_holds) {
    return absl::InvalidArgumentError("the certificate request's own signature does not hold; make a new request");
  }
  ATTUNE_ASSIGN_OR_RETURN(const Authority parsed, ParseAuthority(authority));
  const CertificatePlan plan = {.consortium = identity->consortium,
                                .common_name = identity->name,
                                .days = days,
                                .extensions = LeafExtensions("clientAuth", absl::StrCat("URI:", uri))};
  return Issue(plan, key, parsed.certificate.get(), parsed.key.get());
}

}  // namespace

absl::StatusOr<KeyAndCertificate> MakeAuthority(absl::string_view consortium) {
  ATTUNE_RETURN_IF_ERROR(CheckConsortium(consortium));
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Key key, MakeKey());
  const CertificatePlan plan = {.consortium = consortium,
                                .common_name = "Attune certificate authority",
                                .days = kAuthorityDays,
                                .extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                               {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                               {NID_subject_key_identifier, "hash"}}};
  KeyAndCertificate made;
  ATTUNE_ASSIGN_OR_RETURN(made.certificate_pem, Issue(plan, key.get(), nullptr, key.get()));
  ATTUNE_ASSIGN_OR_RETURN(made.key_pem, KeyToPem(key.get()));
  return made;
}

absl::StatusOr<KeyAndCertificate> MakeServerCertificate(const KeyAndCertificate& authority, absl::string_view consortium,
                                                        const std::vector<std::string>& hosts, int days,
                                                        absl::string_view key_pem) {
  ATTUNE_RETURN_IF_ERROR(CheckConsortium(consortium));
  if (hosts.empty()) return absl::InvalidArgumentError("the coordinator's certificate needs at least one host that sites dial");
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    ATTUNE_ASSIGN_OR_RETURN(std::string name, AlternativeNameOf(host));
    names.push_back(std::move(name));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Authority parsed, ParseAuthority(authority));
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Key key,
                          key_pem.empty() ? MakeKey() : openssl::ParsePrivateKey(key_pem, "private key"));
  const CertificatePlan plan = {.consortium = consortium,
                                .common_name = "Attune coordinator",
                                .days = days,
                                .extensions = LeafExtensions("serverAuth", absl::StrJoin(names, ","))};
  KeyAndCertificate made;
  ATTUNE_ASSIGN_OR_RETURN(made.certificate_pem, Issue(plan, key.get(), parsed.certificate.get(), parsed.key.get()));
  ATTUNE_ASSIGN_OR_RETURN(made.key_pem, KeyToPem(key.get()));
  return made;
}

absl::StatusOr<std::vector<std::string>> HostsOf(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  const openssl::Names names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  std::vector<std::string> hosts;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    const unsigned char* const bytes = ASN1_STRING_get0_data(value);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
    if (type == GEN_DNS) hosts.emplace_back(reinterpret_cast<const char*>(bytes), size);
    std::array<char, INET6_ADDRSTRLEN> text = {};
    const int family = size == sizeof(in_addr) ? AF_INET : AF_INET6;
    if (type == GEN_IPADD && (size == sizeof(in_addr) || size == sizeof(in6_addr)) &&
        ::inet_ntop(family, bytes, text.data(), text.size()) != nullptr) {
      hosts.emplace_back(text.data());
    }
  }
  return hosts;
}

absl::StatusOr<std::string> MakeRequest(absl::string_view key_pem, absl::string_view site) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Key key, openssl::ParsePrivateKey(key_pem, "private key"));
  return RequestFor(key.get(), site);
}

absl::StatusOr<KeyAndRequest> MakeKeyAndRequest(absl::string_view site) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Key key, MakeKey());
  KeyAndRequest made;
  ATTUNE_ASSIGN_OR_RETURN(made.request_pem, RequestFor(key.get(), site));
  ATTUNE_ASSIGN_OR_RETURN(made.key_pem, KeyToPem(key.get()));
  return made;
}

absl::StatusOr<std::string> SignSiteRequest(const KeyAndCertificate& authority, absl::string_view request_pem,
                                            absl::string_view site_uri, int days) {
  return SignRequest(authority, request_pem, Role::kSite, site_uri, days);
}

absl::StatusOr<std::string> SignAdminRequest(const KeyAndCertificate& authority, absl::string_view request_pem,
                                             absl::string_view admin_uri, int days) {
  return SignRequest(authority, request_pem, Role::kAdmin, admin_uri, days);
}

absl::StatusOr<std::string> FingerprintOf(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) return openssl::Error("digest a certificate");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) absl::StrAppend(&text, i == 0 ? "" : ":", absl::Hex(digest[i], absl::kZeroPad2));
  return absl::AsciiStrToUpper(text);
}

absl::StatusOr<int> DaysLeft(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate's time of validity is not readable");
  }
  // Both have the same sign, and a certificate that expired an hour ago has.
  return days == 0 && seconds < 0 ? -1 : days;
}

absl::StatusOr<absl::Time> ExpiryOf(absl::string_view certificate_pem) {
  ATTUNE_ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ParseCertificate(certificate_pem));
  int days = 0;
  int seconds = 0;
  const time_t now_seconds = absl::ToTimeT(absl::Now());
  const openssl::Time from(ASN1_TIME_set(nullptr, now_seconds));
  if (from == nullptr || ASN1_TIME_diff(&days, &seconds, from.get(), X509_get0_notAfter(certificate.get())) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate's time of validity is not readable");
  }
  return absl::FromTimeT(now_seconds) + absl::Hours(24) * days + absl::Seconds(seconds);
}

}  // namespace attune

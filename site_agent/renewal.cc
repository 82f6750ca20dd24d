// SPDX-License-Identifier: Apache-2.0
#include "site_agent/renewal.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/time/clock.h"
#include "common/base/crash_point.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/certificates.h"
#include "common/security/signature.h"

namespace attune {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Hours(1);

// What is kept must be of use: the same key and name as before, by the consortium's authority.
absl::Status CheckRenewed(const Home& home, const std::string& renewed_pem, const GrpcCourierOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string authority_pem, ReadFile(home.IdentityFile("ca.pem")));
  ATTUNE_RETURN_IF_ERROR(CheckIssuedBy(renewed_pem, authority_pem));
  ATTUNE_ASSIGN_OR_RETURN(const std::string old_key, KeyFingerprintOf(options.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const std::string new_key, KeyFingerprintOf(renewed_pem));
  ATTUNE_ASSIGN_OR_RETURN(const std::string old_uri, UriOf(options.certificate_pem));
  ATTUNE_ASSIGN_OR_RETURN(const std::string new_uri, UriOf(renewed_pem));
  if (old_key == new_key && old_uri == new_uri) return absl::OkStatus();
  return absl::UnauthenticatedError(
      "the coordinator sent a certificate that is not for this site's name and key; the old one stays");
}

class RenewingCourier final : public Courier {
 public:
  RenewingCourier(Home home, std::string site, GrpcCourierOptions options, std::unique_ptr<Courier> courier)
      : home_(std::move(home)), site_(std::move(site)), options_(std::move(options)), courier_(std::move(courier)) {
    RenewWhenDue();
  }

  absl::Status Register(const v1::RegisterRequest& request) override { return Current().Register(request); }
  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) override { return Current().GetStudy(study); }
  absl::StatusOr<v1::NextReply> Next(const v1::NextRequest& request) override { return Current().Next(request); }
  absl::Status Submit(const v1::UploadHeader& header, const std::string& path) override {
    return Current().Submit(header, path);
  }
  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t size, const std::string& path) override {
    return Current().Fetch(request, size, path);
  }
  absl::Status Report(const v1::ReportRequest& request) override { return Current().Report(request); }

 private:
  Courier& Current() {
    if (absl::Now() >= next_look_) RenewWhenDue();
    return *courier_;
  }

  void RenewWhenDue() {
    next_look_ = absl::Now() + kBetweenLooks;
    const absl::StatusOr<int> days = DaysLeft(options_.certificate_pem);
    if (days.ok() && *days >= kRenewBeforeDays) return;
    const absl::Status renewed = Renew();
    if (!renewed.ok()) {
      spdlog::warn(
          "this site's certificate expires in {} days and could not be renewed: {}. It is tried again; or give "
          "'attune-site renew', or ask the coordinator for a new invitation",
          days.value_or(0), std::string(renewed.message()));
    }
  }

  absl::Status Renew() {
    GrpcCourierOptions once = options_;
    once.patience = absl::ZeroDuration();  // the calls themselves have patience
    ATTUNE_ASSIGN_OR_RETURN(std::string renewed_pem, RenewCertificate(home_, site_, once));
    options_.certificate_pem = std::move(renewed_pem);
    ATTUNE_ASSIGN_OR_RETURN(courier_, MakeGrpcCourier(options_));
    return absl::OkStatus();
  }

  const Home home_;
  const std::string site_;
  GrpcCourierOptions options_;
  std::unique_ptr<Courier> courier_;
  absl::Time next_look_;
};

}  // namespace

absl::StatusOr<std::string> RenewCertificate(const Home& home, const std::string& site, const GrpcCourierOptions& options) {
  v1::RenewRequest request;
  ATTUNE_ASSIGN_OR_RETURN(*request.mutable_certificate_request_pem(), MakeRequest(options.key_pem, site));
  ATTUNE_ASSIGN_OR_RETURN(const v1::EnrollReply reply, Renew(options, request));
  ATTUNE_RETURN_IF_ERROR(CheckRenewed(home, reply.certificate_pem(), options));
  CrashPoint("site.renewal_received");
  ATTUNE_RETURN_IF_ERROR(
      WriteFileAtomically(home.IdentityFile("certificate.pem"), reply.certificate_pem(), FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const int days, DaysLeft(reply.certificate_pem()));
  spdlog::info("this site's certificate is renewed: good for {} days", days);
  return reply.certificate_pem();
}

absl::StatusOr<std::unique_ptr<Courier>> MakeRenewingCourier(const Home& home, const std::string& site,
                                                             const GrpcCourierOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(std::unique_ptr<Courier> courier, MakeGrpcCourier(options));
  return std::make_unique<RenewingCourier>(home, site, options, std::move(courier));
}

}  // namespace attune

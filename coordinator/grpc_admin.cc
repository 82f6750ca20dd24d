// SPDX-License-Identifier: Apache-2.0
#include "coordinator/grpc_admin.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "attune/v1/admin.grpc.pb.h"
#include "common/base/status.h"

namespace attune {
namespace {

class AdminService final : public v1::Admin::Service {
 public:
  AdminService(GrpcDoor* door, Operator* operator_desk) : door_(door), operator_(operator_desk) {}

  grpc::Status CreateStudy(grpc::ServerContext* context, const v1::CreateStudyRequest* request,
                           v1::StudyReply* reply) override {
    return Do(*context, "CreateStudy", request->config().study(), [&]() -> absl::Status {
      ATTUNE_RETURN_IF_ERROR(operator_->CreateStudy(request->config(), false));
      reply->set_study(request->config().study());
      return absl::OkStatus();
    });
  }

  grpc::Status StartStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyReply* reply) override {
    return Do(*context, "StartStudy", request->study(), [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply->mutable_manifest_sha256(), operator_->StartStudy(request->study()));
      reply->set_study(request->study());
      return absl::OkStatus();
    });
  }

  grpc::Status ShowStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyView* reply) override {
    return Do(*context, "ShowStudy", request->study(), [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ShowStudy(request->study()));
      return absl::OkStatus();
    });
  }

  grpc::Status ListStudies(grpc::ServerContext* context, const v1::ListStudiesRequest*, v1::StudyList* reply) override {
    return Do(*context, "ListStudies", "", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ListStudies());
      return absl::OkStatus();
    });
  }

  grpc::Status CloseStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyReply* reply) override {
    return Do(*context, "CloseStudy", request->study(), [&]() -> absl::Status {
      ATTUNE_RETURN_IF_ERROR(operator_->CloseStudy(request->study()));
      reply->set_study(request->study());
      return absl::OkStatus();
    });
  }

  grpc::Status InviteSite(grpc::ServerContext* context, const v1::InviteSiteRequest* request, v1::Invitation* reply) override {
    return Do(*context, "InviteSite", request->site(), [&]() -> absl::Status {
      if (request->days() > 90) return absl::InvalidArgumentError("an invitation lasts 1 to 90 days");
      ATTUNE_ASSIGN_OR_RETURN(
          *reply, operator_->InviteSite(request->site(), request->coordinator(), static_cast<int>(request->days())));
      return absl::OkStatus();
    });
  }

  grpc::Status ListSites(grpc::ServerContext* context, const v1::ListSitesRequest*, v1::MemberList* reply) override {
    return Do(*context, "ListSites", "", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ListSites());
      return absl::OkStatus();
    });
  }

  grpc::Status RevokeSite(grpc::ServerContext* context, const v1::SiteRequest* request, v1::RevokeSiteReply*) override {
    return Do(*context, "RevokeSite", request->site(), [&] { return operator_->RevokeSite(request->site()); });
  }

 private:
  template <typename Call>
  grpc::Status Do(const grpc::ServerContext& context, const char* name, const std::string& about, const Call& call) {
    return door_->Admit(context, Role::kAdmin, name, [&](const Peer& peer) -> absl::Status {
      spdlog::info("{} '{}', asked by the administrator '{}'.", name, about, peer.identity.name);
      return call();
    });
  }

  GrpcDoor* const door_;      // not owned
  Operator* const operator_;  // not owned
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(GrpcDoor* door, Operator* operator_desk) {
  return std::make_unique<AdminService>(door, operator_desk);
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/grpc_admin.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "attune/v1/admin.grpc.pb.h"
#include "common/base/status.h"

namespace attune {
namespace {

class AdminService final : public v1::Admin::Service {
 public:
  AdminService(GrpcDoor* door, Operator* operator_desk, CommandListener on_command)
      : door_(door), operator_(operator_desk), on_command_(std::move(on_command)) {}

  grpc::Status CreateStudy(grpc::ServerContext* context, const v1::CreateStudyRequest* request,
                           v1::StudyReply* reply) override {
    return Change(*context, "CreateStudy", "study create", request->config().study(), [&]() -> absl::Status {
      ATTUNE_RETURN_IF_ERROR(operator_->CreateStudy(request->config(), false,
                                                    StudyFiles(request->attachments().begin(), request->attachments().end())));
      reply->set_study(request->config().study());
      return absl::OkStatus();
    });
  }

  grpc::Status StartStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyReply* reply) override {
    return Change(*context, "StartStudy", "study start", request->study(), [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply->mutable_manifest_sha256(), operator_->StartStudy(request->study()));
      reply->set_study(request->study());
      return absl::OkStatus();
    });
  }

  grpc::Status ShowStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyView* reply) override {
    return Ask(*context, "ShowStudy", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ShowStudy(request->study()));
      return absl::OkStatus();
    });
  }

  grpc::Status DescribeSeen(grpc::ServerContext* context, const v1::StudyRequest* request, v1::SeenReply* reply) override {
    return Ask(*context, "DescribeSeen", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply->mutable_text(), operator_->DescribeSeen(request->study()));
      return absl::OkStatus();
    });
  }

  grpc::Status ListStudies(grpc::ServerContext* context, const v1::ListStudiesRequest*, v1::StudyList* reply) override {
    return Ask(*context, "ListStudies", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ListStudies());
      return absl::OkStatus();
    });
  }

  grpc::Status CloseStudy(grpc::ServerContext* context, const v1::StudyRequest* request, v1::StudyReply* reply) override {
    return Change(*context, "CloseStudy", "study close", request->study(), [&]() -> absl::Status {
      ATTUNE_RETURN_IF_ERROR(operator_->CloseStudy(request->study()));
      reply->set_study(request->study());
      return absl::OkStatus();
    });
  }

  grpc::Status InviteSite(grpc::ServerContext* context, const v1::InviteSiteRequest* request, v1::Invitation* reply) override {
    return Change(*context, "InviteSite", "site invite", request->site(), [&]() -> absl::Status {
      if (request->days() > 90) return absl::InvalidArgumentError("an invitation lasts 1 to 90 days");
      ATTUNE_ASSIGN_OR_RETURN(
          *reply, operator_->InviteSite(request->site(), request->coordinator(), static_cast<int>(request->days())));
      return absl::OkStatus();
    });
  }

  grpc::Status ListSites(grpc::ServerContext* context, const v1::ListSitesRequest*, v1::MemberList* reply) override {
    return Ask(*context, "ListSites", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, operator_->ListSites());
      return absl::OkStatus();
    });
  }

  grpc::Status RevokeSite(grpc::ServerContext* context, const v1::SiteRequest* request, v1::RevokeSiteReply*) override {
    return Change(*context, "RevokeSite", "site revoke", request->site(),
                  [&] { return operator_->RevokeSite(request->site()); });
  }

 private:
  grpc::Status Ask(const grpc::ServerContext& context, const char* name, absl::FunctionRef<absl::Status()> call) {
    return door_->Admit(context, Role::kAdmin, name, [&](const Peer&) { return call(); });
  }

  grpc::Status Change(const grpc::ServerContext& context, const char* name, absl::string_view command, const std::string& about,
                      absl::FunctionRef<absl::Status()> call) {
    return door_->Admit(context, Role::kAdmin, name, [&](const Peer& peer) {
      const std::string told = absl::StrCat(command, " ", about, ", by the administrator '", peer.identity.name, "'");
      spdlog::info("{}.", told);
      const absl::Status outcome = call();
      on_command_(told, outcome);
      return outcome;
    });
  }

  GrpcDoor* const door_;      // not owned
  Operator* const operator_;  // not owned
  const CommandListener on_command_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(GrpcDoor* door, Operator* operator_desk, CommandListener on_command) {
  return std::make_unique<AdminService>(door, operator_desk, std::move(on_command));
}

}  // namespace attune

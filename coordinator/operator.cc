// SPDX-License-Identifier: Apache-2.0
#include "coordinator/operator.h"

#include <map>
#include <utility>

#include "common/base/status.h"
#include "coordinator/seen.h"
#include "coordinator/study_view.h"

namespace attune {

LocalOperator::LocalOperator(Desk* desk, Invitations* invitations, BlobStore blobs)
    : desk_(desk), invitations_(invitations), blobs_(std::move(blobs)) {}

absl::Status LocalOperator::CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files) {
  return desk_->CreateStudy(config, plain_sums, files);
}

absl::StatusOr<std::string> LocalOperator::StartStudy(const std::string& study) { return desk_->StartStudy(study); }

absl::StatusOr<v1::StudyView> LocalOperator::ShowStudy(const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, desk_->Status(study));
  ATTUNE_ASSIGN_OR_RETURN(v1::StudyView view, ViewOf(status, blobs_));
  ATTUNE_ASSIGN_OR_RETURN(const v1::MemberList members, ListSites());
  std::map<std::string, const v1::MemberLine*> by_name;
  for (const v1::MemberLine& member : members.members()) by_name[member.name()] = &member;
  for (v1::SiteView& site : *view.mutable_sites()) {
    const auto found = by_name.find(site.site());
    if (found == by_name.end()) continue;
    if (found->second->state() == "revoked") site.set_revoked(true);
    if (found->second->has_certificate_days_left()) site.set_certificate_days_left(found->second->certificate_days_left());
  }
  return view;
}

absl::StatusOr<std::string> LocalOperator::DescribeSeen(const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, desk_->Status(study));
  return attune::DescribeSeen(status, blobs_);
}

absl::StatusOr<v1::StudyList> LocalOperator::ListStudies() {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<StudyStatus> studies, desk_->ListStudies());
  v1::StudyList list;
  for (const StudyStatus& study : studies) {
    v1::StudyLine& line = *list.add_studies();
    line.set_study(study.name);
    line.set_state(StateName(study.state));
    line.set_sites(static_cast<std::uint32_t>(study.sites.size()));
    line.set_waiting_for(static_cast<std::uint32_t>(study.WaitingFor().size()));
  }
  return list;
}

absl::Status LocalOperator::CloseStudy(const std::string& study) { return desk_->CloseStudy(study); }

absl::StatusOr<v1::Invitation> LocalOperator::InviteSite(const std::string& site, const std::string& coordinator, int days) {
  return invitations_->Invite(site, coordinator, days);
}

absl::StatusOr<v1::MemberList> LocalOperator::ListSites() {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<MemberRecord> sites, invitations_->Sites());
  return MemberListOf(sites);
}

absl::Status LocalOperator::RevokeSite(const std::string& site) { return invitations_->RevokeSite(site); }

v1::MemberList MemberListOf(const std::vector<MemberRecord>& members) {
  v1::MemberList list;
  for (const MemberRecord& member : members) {
    v1::MemberLine& line = *list.add_members();
    line.set_name(member.name);
    line.set_state(member.state);
    line.set_enrolled(member.enrolled);
    line.set_invitation_expires(member.expires);
    line.set_revoked(member.revoked);
    if (member.state == "enrolled" || member.state == "expired") {
      line.set_certificate_days_left(member.certificate_days_left);
    }
  }
  return list;
}

}  // namespace attune

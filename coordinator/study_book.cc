// SPDX-License-Identifier: Apache-2.0
#include "coordinator/study_book.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/errors.h"

namespace attune {

bool TakeEntry(const JournalEntry& e, StudyStatus& status) {
  const bool created = status.state != v1::STUDY_STATE_UNSPECIFIED;
  if (e.kind == entry::kCreated) {
    if (created || !status.config.ParseFromString(e.body)) return false;
    status.state = v1::STUDY_STATE_RECRUITING;
    return true;
  }
  if (!created) return false;
  if (e.kind == entry::kRegistered) {
    v1::RegisterRequest request;
    if (status.started() || !IsSha256Hex(e.blob) || !request.ParseFromString(e.body)) return false;
    status.sites[e.site] = {e.blob, {request.batches().begin(), request.batches().end()}};
    return true;
  }
  if (e.kind == entry::kStarted) {
    if (status.started() || !IsSha256Hex(e.blob)) return false;
    status.manifest_sha256 = e.blob;
    status.state = v1::STUDY_STATE_RUNNING;
    return true;
  }
  if (e.kind == entry::kClosed) {
    status.state = v1::STUDY_STATE_CLOSED;
    return true;
  }
  if (!status.started()) return false;
  if (e.kind == entry::kAsked) {
    RoundRecord round;
    round.question_sha256 = e.blob;
    if (e.round != status.round() + 1 || !absl::SimpleAtoi(e.body, &round.values_per_part)) return false;
    status.rounds.push_back(std::move(round));
    return true;
  }
  if (e.kind == entry::kReported) {
    int number = 0;
    if (!absl::SimpleAtoi(e.body, &number) || !v1::SiteState_IsValid(number) || status.sites.count(e.site) == 0) return false;
    v1::SiteState& report = status.reports[e.site];
    if (report != v1::SITE_STATE_HARMONIZED) report = static_cast<v1::SiteState>(number);
    const bool all = std::all_of(status.sites.begin(), status.sites.end(), [&](const auto& site) {
      const auto found = status.reports.find(site.first);
      return found != status.reports.end() && found->second == v1::SITE_STATE_HARMONIZED;
    });
    if (all && status.state == v1::STUDY_STATE_CORRECTED) status.state = v1::STUDY_STATE_COMPLETE;
    return true;
  }
  if (e.round != status.round() || e.round == 0) return false;
  if (e.kind == entry::kAnswered) {
    return status.sites.count(e.site) > 0 && status.rounds.back().answers.emplace(e.site, e.blob).second;
  }
  if (e.kind == entry::kFailed) {
    status.failure = e.body;
    status.state = v1::STUDY_STATE_FAILED;
    return true;
  }
  if (e.kind == entry::kCorrected) {
    if (status.correction.has_value()) return false;
    status.correction = CorrectionRecord{e.round, e.blob, {}, {}};
    status.state = v1::STUDY_STATE_CORRECTED;
    return true;
  }
  if (!status.correction.has_value()) return false;
  if (e.kind == entry::kCorrectedSite) return status.correction->by_site.emplace(e.site, e.blob).second;
  if (e.kind == entry::kEvidence) {
    status.correction->evidence_sha256 = e.blob;
    return true;
  }
  return false;
}

bool StudyStatus::OutcomeDue() const {
  return state == v1::STUDY_STATE_RUNNING && !rounds.empty() && rounds.back().answers.size() == sites.size();
}

std::vector<std::string> StudyStatus::WaitingFor() const {
  std::vector<std::string> names;
  for (const auto& [site, registration] : sites) {
    const auto report = reports.find(site);
    const bool missing =
        (state == v1::STUDY_STATE_RUNNING && !rounds.empty() && rounds.back().answers.count(site) == 0) ||
        (state == v1::STUDY_STATE_CORRECTED && (report == reports.end() || report->second != v1::SITE_STATE_HARMONIZED));
    if (missing) names.push_back(site);
  }
  return names;
}

std::vector<std::string> StudyStatus::PartsOf(absl::string_view site) const {
  const auto found = sites.find(std::string(site));
  if (found == sites.end()) return {};
  if (ReleaseOf(config) == Release::kPooled) return {kSumPart};
  std::vector<std::string> parts;
  for (const std::string& label : found->second.labels) parts.push_back(MakeBatchId(site, label));
  return parts;
}

absl::StatusOr<StudyStatus> ReplayStudy(absl::string_view study, const std::vector<JournalEntry>& entries) {
  if (entries.empty()) return UnknownStudy(study);
  StudyStatus status;
  status.name = std::string(study);
  for (const JournalEntry& e : entries) {
    if (!TakeEntry(e, status)) {
      return LocalError(
          absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " ('", e.kind, "') of the study '", study,
                                           "' cannot follow the entries before it; restore the state folder "
                                           "from a backup")));
    }
  }
  return status;
}

std::string StateName(v1::StudyState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::StudyState_Name(state), "STUDY_STATE_"));
}

std::string StateName(v1::SiteState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::SiteState_Name(state), "SITE_STATE_"));
}

}  // namespace attune

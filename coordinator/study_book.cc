// SPDX-License-Identifier: Apache-2.0
#include "coordinator/study_book.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/errors.h"

namespace attune {

namespace {

// "<attempt> <step> <site> ..."
struct StepBody {
  std::uint32_t attempt = 0;
  int step = 0;
  std::vector<std::string> sites;
};

std::optional<StepBody> ParseStepBody(const std::string& body) {
  const std::vector<std::string> words = absl::StrSplit(body, ' ');
  StepBody parsed;
  if (words.size() < 2 || !absl::SimpleAtoi(words[0], &parsed.attempt) || !absl::SimpleAtoi(words[1], &parsed.step)) {
    return std::nullopt;
  }
  parsed.sites.assign(words.begin() + 2, words.end());
  return parsed;
}

void BeginStep(v1::AggregationStep step, const std::string& time, std::vector<std::string> expected,
               AggregationRecord& record) {
  record.step = step;
  record.step_since = time;
  record.expected = std::move(expected);
}

// A step that all it needs has come for, or whose time is up: the next one begins.
bool CloseStep(const JournalEntry& e, const StepBody& body, AggregationRecord& record) {
  const std::map<std::string, std::string>& delivered = record.messages[record.step];
  for (const std::string& site : body.sites) {
    if (delivered.count(site) == 0) return false;
  }
  if (!std::is_sorted(body.sites.begin(), body.sites.end())) return false;
  switch (record.step) {
    case v1::AGGREGATION_STEP_KEYS:
      record.key_roster_sha256 = e.blob;
      BeginStep(v1::AGGREGATION_STEP_SHARES, e.time, body.sites, record);
      return true;
    case v1::AGGREGATION_STEP_SHARES:
      record.sharers = body.sites;
      BeginStep(v1::AGGREGATION_STEP_MASKED, e.time, body.sites, record);
      return true;
    case v1::AGGREGATION_STEP_MASKED:
      record.survivors = body.sites;
      record.survivors_sha256 = e.blob;
      BeginStep(v1::AGGREGATION_STEP_CONSISTENCY, e.time, body.sites, record);
      return true;
    case v1::AGGREGATION_STEP_CONSISTENCY:
      record.signatures_sha256 = e.blob;
      // Only those who signed know what was signed, and may unmask.
      BeginStep(v1::AGGREGATION_STEP_UNMASK, e.time, body.sites, record);
      return true;
    case v1::AGGREGATION_STEP_UNMASK:
      record.sum_sha256 = e.blob;
      return true;
    default:
      return false;
  }
}

bool TakeAggregationEntry(const JournalEntry& e, StudyStatus& status) {
  if (!status.masked || status.state != v1::STUDY_STATE_RUNNING) return false;
  AggregationRecord& record = status.rounds.back().aggregation;
  if (record.IsOver()) return false;
  if (e.kind == entry::kShares) {
    return record.step == v1::AGGREGATION_STEP_MASKED && record.shares_for.emplace(e.site, e.blob).second;
  }
  if (e.kind == entry::kRestarted) {
    const std::vector<std::string> words = absl::StrSplit(e.body, absl::MaxSplits(' ', 1));
    std::uint32_t attempt = 0;
    if (!absl::SimpleAtoi(words[0], &attempt) || attempt != record.attempt + 1) return false;
    record = AggregationRecord{};
    record.attempt = attempt;
    BeginStep(v1::AGGREGATION_STEP_KEYS, e.time, status.Members(), record);
    return true;
  }
  const std::optional<StepBody> body = ParseStepBody(e.body);
  if (!body || body->attempt != record.attempt || body->step != static_cast<int>(record.step)) return false;
  if (e.kind == entry::kStepClosed) return CloseStep(e, *body, record);
  return std::binary_search(record.expected.begin(), record.expected.end(), e.site) &&
         record.messages[record.step].emplace(e.site, e.blob).second;
}

}  // namespace

std::vector<std::string> StudyStatus::Members() const {
  // A site that was left out of the first sum is not in the pooled parameters, and cannot be part of what follows from them.
  if (masked && !rounds.empty() && rounds.front().aggregation.IsOver()) return rounds.front().aggregation.survivors;
  std::vector<std::string> members;
  for (const auto& [site, registration] : sites) members.push_back(site);
  return members;
}

bool TakeEntry(const JournalEntry& e, StudyStatus& status) {
  ++status.entries;
  const bool created = status.state != v1::STUDY_STATE_UNSPECIFIED;
  if (e.kind == entry::kCreated) {
    if (created || !status.config.ParseFromString(e.body)) return false;
    status.state = v1::STUDY_STATE_RECRUITING;
    return true;
  }
  if (!created) return false;
  if (e.kind == entry::kAttached) {
    status.attachments[e.body] = e.blob;
    return !status.started() && IsSha256Hex(e.blob);
  }
  if (e.kind == entry::kPlainSums) {
    status.plain_sums = true;
    return !status.started();
  }
  if (e.kind == entry::kRegistered) {
    v1::RegisterRequest request;
    if (status.started() || !IsSha256Hex(e.blob) || !request.ParseFromString(e.body)) return false;
    status.sites[e.site] = {e.blob, {request.batches().begin(), request.batches().end()}};
    return true;
  }
  if (e.kind == entry::kStarted) {
    if (status.started() || !IsSha256Hex(e.blob)) return false;
    status.manifest_sha256 = e.blob;
    status.masked = e.body == entry::kMasked;
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
    round.asked = e.time;
    if (status.masked) BeginStep(v1::AGGREGATION_STEP_KEYS, e.time, status.Members(), round.aggregation);
    status.rounds.push_back(std::move(round));
    return true;
  }
  if (e.kind == entry::kReported) {
    int number = 0;
    if (!absl::SimpleAtoi(e.body, &number) || !v1::SiteState_IsValid(number) || status.sites.count(e.site) == 0) return false;
    v1::SiteState& report = status.reports[e.site];
    if (report != v1::SITE_STATE_HARMONIZED) report = static_cast<v1::SiteState>(number);
    const std::vector<std::string> members = status.Members();
    const bool all = std::all_of(members.begin(), members.end(), [&](const std::string& site) {
      const auto found = status.reports.find(site);
      return found != status.reports.end() && found->second == v1::SITE_STATE_HARMONIZED;
    });
    if (all && status.state == v1::STUDY_STATE_CORRECTED) status.state = v1::STUDY_STATE_COMPLETE;
    return true;
  }
  if (e.round != status.round() || e.round == 0) return false;
  if (e.kind == entry::kStepDone || e.kind == entry::kStepClosed || e.kind == entry::kShares || e.kind == entry::kRestarted) {
    return TakeAggregationEntry(e, status);
  }
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

std::vector<std::string> AggregationRecord::Delivered() const {
  std::vector<std::string> sites;
  if (const auto found = messages.find(step); found != messages.end()) {
    for (const auto& [site, sha256] : found->second) sites.push_back(site);
  }
  return sites;
}

bool StudyStatus::OutcomeDue() const {
  if (state != v1::STUDY_STATE_RUNNING || rounds.empty()) return false;
  const RoundRecord& round = rounds.back();
  return masked ? round.aggregation.Delivered().size() == round.aggregation.expected.size()
                : round.answers.size() == sites.size();
}

std::vector<std::string> StudyStatus::WaitingFor() const {
  std::vector<std::string> names;
  if (state == v1::STUDY_STATE_RUNNING && masked && !rounds.empty()) {
    const AggregationRecord& record = rounds.back().aggregation;
    const std::vector<std::string> delivered = record.Delivered();
    std::set_difference(record.expected.begin(), record.expected.end(), delivered.begin(), delivered.end(),
                        std::back_inserter(names));
    return names;
  }
  for (const std::string& site : Members()) {
    const auto report = reports.find(site);
    const bool missing =
        (state == v1::STUDY_STATE_RUNNING && !rounds.empty() && rounds.back().answers.count(site) == 0) ||
        (state == v1::STUDY_STATE_CORRECTED && (report == reports.end() || report->second != v1::SITE_STATE_HARMONIZED));
    if (missing) names.push_back(site);
  }
  return names;
}

std::string StudyStatus::Deadline() const {
  std::string since;
  if (state == v1::STUDY_STATE_RUNNING && !rounds.empty()) {
    since = masked ? rounds.back().aggregation.step_since : rounds.back().asked;
  }
  absl::Time begun;
  if (since.empty() || !absl::ParseTime(absl::RFC3339_full, since, &begun, nullptr)) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", begun + DeadlineOf(config), absl::UTCTimeZone());
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

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/study_view.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/round_outcome.h"
#include "coordinator/summary.h"
#include "coordinator/text_table.h"

namespace attune {
namespace {

absl::StatusOr<Bundle> LoadBundle(const BlobStore& blobs, const std::string& sha256, v1::BundleKind kind,
                                  const StudyStatus& status) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
  return OpenBundle(path, kind, {status.manifest_sha256, status.correction->round, ""});
}

std::string SiteStateOf(const StudyStatus& status, const std::string& site) {
  const auto report = status.reports.find(site);
  if (report != status.reports.end()) return StateName(report->second);
  if (!status.started()) return "registered";
  const std::vector<std::string> members = status.Members();
  if (!std::binary_search(members.begin(), members.end(), site)) return "left_out";
  if (status.masked) {
    const std::vector<std::string> waiting = status.WaitingFor();
    return std::binary_search(waiting.begin(), waiting.end(), site) ? "asked" : "answered";
  }
  return status.rounds.back().answers.count(site) > 0 ? "answered" : "asked";
}

}  // namespace

absl::StatusOr<std::optional<v1::StudySummary>> SummaryOf(const StudyStatus& status, const BlobStore& blobs) {
  if (!status.correction.has_value() || status.correction->evidence_sha256.empty()) return std::optional<v1::StudySummary>();
  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, LoadManifest(blobs, status.manifest_sha256));
  ATTUNE_ASSIGN_OR_RETURN(const Bundle common,
                          LoadBundle(blobs, status.correction->common_sha256, v1::BUNDLE_KIND_CORRECTION_COMMON, status));
  ATTUNE_ASSIGN_OR_RETURN(const Bundle evidence,
                          LoadBundle(blobs, status.correction->evidence_sha256, v1::BUNDLE_KIND_EVIDENCE, status));
  const auto part = evidence.parts.find(kEvidencePart);
  if (part == evidence.parts.end()) return absl::DataLossError("the study's evidence file has no evidence");
  std::vector<std::string> notes(common.header.notes().begin(), common.header.notes().end());
  for (const auto& [site, registration] : status.sites) {
    if (SiteStateOf(status, site) == "left_out") {
      notes.push_back(absl::StrCat("site ", site, " is not part of the result: its sums did not come in time"));
    }
  }
  notes.insert(notes.end(), evidence.header.notes().begin(), evidence.header.notes().end());
  ATTUNE_ASSIGN_OR_RETURN(v1::StudySummary summary, MakeSummary(manifest, status.manifest_sha256, part->second, notes));
  const std::vector<std::string> members = status.Members();
  summary.set_sites(static_cast<std::uint32_t>(members.size()));
  summary.set_batches(static_cast<std::uint32_t>(FactsOf(manifest, members).batches.size()));
  return std::optional<v1::StudySummary>(std::move(summary));
}

absl::StatusOr<v1::StudyView> ViewOf(const StudyStatus& status, const BlobStore& blobs) {
  v1::StudyView view;
  view.set_study(status.name);
  view.set_state(StateName(status.state));
  view.set_method(MethodIdOf(status.config));
  view.set_release(ReleaseName(ReleaseOf(status.config)));
  view.set_manifest_sha256(status.manifest_sha256);
  view.set_round(status.round());
  for (const auto& [site, registration] : status.sites) {
    v1::SiteView& row = *view.add_sites();
    row.set_site(site);
    for (const std::string& label : registration.labels) row.add_batches(label);
    row.set_state(SiteStateOf(status, site));
  }
  for (const std::string& site : status.WaitingFor()) view.add_waiting_for(site);
  view.set_waiting_until(status.Deadline());
  if (status.masked && status.round() > 0) {
    view.set_attempt(status.rounds.back().aggregation.attempt);
    view.set_step(static_cast<std::uint32_t>(status.rounds.back().aggregation.step));
  }
  view.set_message(status.failure);
  if (!status.correction.has_value()) return view;
  ATTUNE_ASSIGN_OR_RETURN(const Bundle common,
                          LoadBundle(blobs, status.correction->common_sha256, v1::BUNDLE_KIND_CORRECTION_COMMON, status));
  *view.mutable_notes() = common.header.notes();
  ATTUNE_ASSIGN_OR_RETURN(std::optional<v1::StudySummary> summary, SummaryOf(status, blobs));
  if (summary.has_value()) {
    *view.mutable_notes() = summary->notes();  // with those on single batches
    *view.mutable_summary() = *std::move(summary);
  }
  return view;
}

std::string FormatView(const v1::StudyView& view) {
  std::vector<std::vector<std::string>> facts = {
      {"study", view.study()}, {"state", view.state()}, {"method", view.method()}, {"release", view.release()}};
  if (!view.manifest_sha256().empty()) {
    facts.push_back({"manifest", view.manifest_sha256()});
    facts.push_back({"round", absl::StrCat(view.round())});
  }
  if (view.step() > 0 && view.state() == "running") {
    facts.push_back({"secure sum", absl::StrCat("attempt ", view.attempt(), ", step ", view.step(), " of 5")});
  }
  if (!view.waiting_for().empty()) {
    const std::string until = view.waiting_until().empty() ? "" : absl::StrCat(", until ", view.waiting_until());
    facts.push_back({"waits for", absl::StrCat(absl::StrJoin(view.waiting_for(), ", "), until)});
  }
  if (!view.message().empty()) facts.push_back({"failed", view.message()});
  std::string text = FormatTable(facts, false);

  if (!view.sites().empty()) {
    std::vector<std::vector<std::string>> sites = {{"site", "state", "certificate", "batches"}};
    for (const v1::SiteView& site : view.sites()) {
      const std::string days =
          site.has_certificate_days_left() ? absl::StrCat(site.certificate_days_left(), " days left") : "-";
      sites.push_back({site.site(), site.state(), site.revoked() ? "revoked" : days,
                       JoinSome({site.batches().begin(), site.batches().end()})});
    }
    absl::StrAppend(&text, "\n", FormatTable(sites, false));
  }
  if (!view.notes().empty()) absl::StrAppend(&text, "\nnotes\n");
  for (const std::string& note : view.notes()) absl::StrAppend(&text, "- ", note, "\n");
  if (view.has_summary()) {
    absl::StrAppend(&text, "\n", view.summary().subjects(), " subjects, ", view.summary().features(), " features, ",
                    view.summary().batches(), " batches of ", view.summary().sites(), " sites\n",
                    FormatSummary(view.summary()));
  }
  return text;
}

}  // namespace attune

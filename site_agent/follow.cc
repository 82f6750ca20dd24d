// SPDX-License-Identifier: Apache-2.0
#include "site_agent/follow.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "common/wire/masked_bundle.h"

namespace attune {
namespace {

constexpr double kTolerance = 1e-9;

absl::Status CheckSites(const SiteStudy& study, const std::vector<std::string>& sites, std::uint32_t round) {
  const auto refuse = [&](absl::string_view why) {
    return absl::PermissionDeniedError(absl::StrCat("the coordinator shows a sum of round ", round, " of study '", study.name(),
                                                    "' ", why, ": nothing that follows from it is believed"));
  };
  const v1::Manifest& manifest = study.held.manifest;
  if (sites.size() < manifest.aggregation().threshold()) {
    return refuse(absl::StrCat("over ", sites.size(), " sites, fewer than the ", manifest.aggregation().threshold(),
                               " of the approved manifest"));
  }
  for (const std::string& site : sites) {
    const auto& roster = manifest.roster();
    const bool known =
        std::any_of(roster.begin(), roster.end(), [&](const v1::RosterSite& member) { return member.site() == site; });
    if (!known) return refuse("over a site that is not on the roster of the approved manifest");
  }
  // A later round may have gone on without this site.
  const bool takes_part = std::binary_search(sites.begin(), sites.end(), study.site);
  if (round == 1 && !takes_part) return refuse("that this site is no part of");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::variant<Question, Correction>> FollowSums(const SiteStudy& study,
                                                              const std::vector<std::string>& sum_paths) {
  ATTUNE_ASSIGN_OR_RETURN(Question question, study.method->Begin(study.facts));
  for (std::size_t k = 0; k < sum_paths.size(); ++k) {
    const auto round = static_cast<std::uint32_t>(k + 1);
    // A round that this site missed it has no question of; the form is the one that it computed either way.
    const std::string question_sha256 = Sha256OfFile(study.folder.QuestionPath(round)).value_or("");
    ATTUNE_ASSIGN_OR_RETURN(const SumOfSites sum,
                            OpenSum(sum_paths[k], {study.held.sha256, round, question_sha256}, question.form));
    ATTUNE_RETURN_IF_ERROR(CheckSites(study, sum.sites, round));
    ATTUNE_ASSIGN_OR_RETURN(
        auto next, study.method->Next(FactsOf(study.held.manifest, sum.sites), question, {.pooled = sum.sum, .by_batch = {}}));
    if (std::holds_alternative<Correction>(next)) {
      if (k + 1 == sum_paths.size()) return next;
      return absl::PermissionDeniedError(absl::StrCat("study '", study.name(), "' ends with round ", round,
                                                      ", and the coordinator shows sums of ", sum_paths.size(), " rounds"));
    }
    question = std::get<Question>(std::move(next));
  }
  return question;
}

absl::Status CheckSame(const Blocks& came, const Blocks& computed, absl::string_view what) {
  std::string difference = DescribeDifference(computed.form(), came.form());
  for (std::size_t i = 0; difference.empty() && i < came.values().size(); ++i) {
    const double theirs = came.values()[i];
    const double ours = computed.values()[i];
    if (!(std::abs(theirs - ours) <= kTolerance * std::max(1.0, std::abs(ours)))) difference = "a value differs";
  }
  if (difference.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(what, " does not follow from the sums that the coordinator shows (",
                                                  difference,
                                                  "): ask the coordinator's operator; nothing was answered or applied"));
}

}  // namespace attune

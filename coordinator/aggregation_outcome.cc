// SPDX-License-Identifier: Apache-2.0
#include "coordinator/aggregation_outcome.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/numeric/fixed_point.h"
#include "common/security/aggregation.h"
#include "common/security/aggregation_terms.h"
#include "common/wire/manifest.h"
#include "common/wire/masked_bundle.h"
#include "coordinator/desk_internal.h"
#include "coordinator/errors.h"
#include "coordinator/round_outcome.h"

namespace attune {
namespace {

namespace agg = aggregation;

using Messages = std::map<std::string, std::string>;  // by site

const RoundRecord& RoundOf(const StudyStatus& status) { return status.rounds.back(); }

agg::Terms TermsOf(const StudyStatus& status, const v1::Manifest& manifest) {
  return agg::TermsOf(manifest, status.manifest_sha256, status.round(), RoundOf(status).aggregation.attempt,
                      RoundOf(status).question_sha256);
}

// A small message or what was made of such, by digest; none for "".
absl::StatusOr<std::string> Load(const BlobStore& blobs, const std::string& sha256) {
  if (sha256.empty()) return std::string();
  ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
  return ReadFile(path);
}

absl::StatusOr<Messages> LoadMessages(const AggregationRecord& record, v1::AggregationStep step,
                                      const std::vector<std::string>& sites, const BlobStore& blobs) {
  Messages messages;
  for (const std::string& site : sites) {
    ATTUNE_ASSIGN_OR_RETURN(messages[site], Load(blobs, record.messages.at(step).at(site)));
  }
  return messages;
}

// The sum of the survivors' vectors, without their masks, in tiles: memory does not depend on how many sites there are.
absl::StatusOr<Summary> Unmask(const StudyStatus& status, const Question& question, const agg::Unmasker& unmasker,
                               const BlobStore& blobs) {
  const AggregationRecord& record = RoundOf(status).aggregation;
  const BundleBinding binding{status.manifest_sha256, status.round(), RoundOf(status).question_sha256};
  std::vector<MaskedSum> vectors;
  for (const std::string& site : record.survivors) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(record.messages.at(v1::AGGREGATION_STEP_MASKED).at(site)));
    ATTUNE_ASSIGN_OR_RETURN(MaskedSum vector, OpenMasked(path, binding, question.form));
    vectors.push_back(std::move(vector));
  }
  Summary sum = Summary::Zero(question.form);
  const std::span<double> values = sum.MutableValues();
  std::vector<Word128> tile(std::min(values.size(), kTileWords));
  std::size_t block_end = 0;  // of the block that `block` is
  auto block = question.form.begin();
  int resolution = 0;
  for (std::size_t first = 0; first < values.size(); first += kTileWords) {
    const std::span<Word128> words = std::span(tile).first(std::min(kTileWords, values.size() - first));
    std::fill(words.begin(), words.end(), Word128{0});
    for (const MaskedSum& vector : vectors) {
      for (std::size_t i = 0; i < words.size(); ++i) words[i] += vector.words[first + i];
    }
    unmasker.RemoveMasks(first, words);
    for (std::size_t i = 0; i < words.size(); ++i) {
      for (; first + i >= block_end; ++block) {
        block_end += static_cast<std::size_t>(block->rows * block->cols);
        resolution = block->resolution_log2;
      }
      values[first + i] = FromFixed(words[i], resolution);
    }
  }
  return sum;
}

JournalEntry Closed(const StudyStatus& status, const std::vector<std::string>& sites, std::string blob) {
  const AggregationRecord& record = RoundOf(status).aggregation;
  JournalEntry e = MakeEntry(status.name, entry::kStepClosed, "", status.round());
  e.blob = std::move(blob);
  e.body = absl::StrCat(record.attempt, " ", static_cast<int>(record.step), " ", absl::StrJoin(sites, " "));
  return e;
}

absl::StatusOr<std::vector<JournalEntry>> Compute(const StudyStatus& status, const v1::Manifest& manifest, const Method& method,
                                                  const std::vector<std::string>& sites, const BlobStore& blobs,
                                                  const BlobStore& out) {
  const AggregationRecord& record = RoundOf(status).aggregation;
  const agg::Terms terms = TermsOf(status, manifest);
  ATTUNE_ASSIGN_OR_RETURN(const std::string roster, Load(blobs, record.key_roster_sha256));
  ATTUNE_ASSIGN_OR_RETURN(const std::string survivors, Load(blobs, record.survivors_sha256));
  switch (record.step) {
    case v1::AGGREGATION_STEP_KEYS: {
      ATTUNE_ASSIGN_OR_RETURN(const Messages keys, LoadMessages(record, record.step, sites, blobs));
      ATTUNE_ASSIGN_OR_RETURN(std::string blob, StoreBytes(out, agg::MakeKeyRoster(keys)));
      return std::vector<JournalEntry>{Closed(status, sites, std::move(blob))};
    }
    case v1::AGGREGATION_STEP_SHARES: {
      ATTUNE_ASSIGN_OR_RETURN(const Messages shares, LoadMessages(record, record.step, sites, blobs));
      std::vector<JournalEntry> entries{Closed(status, sites, "")};
      for (const std::string& site : sites) {
        ATTUNE_ASSIGN_OR_RETURN(const std::string for_site, agg::MakeSharesForSite(site, shares));
        JournalEntry e = MakeEntry(status.name, entry::kShares, site, status.round());
        ATTUNE_ASSIGN_OR_RETURN(e.blob, StoreBytes(out, for_site));
        entries.push_back(std::move(e));
      }
      return entries;
    }
    case v1::AGGREGATION_STEP_MASKED: {
      ATTUNE_ASSIGN_OR_RETURN(const std::string made, agg::MakeSurvivors(roster, record.sharers, sites));
      ATTUNE_ASSIGN_OR_RETURN(std::string blob, StoreBytes(out, made));
      return std::vector<JournalEntry>{Closed(status, sites, std::move(blob))};
    }
    case v1::AGGREGATION_STEP_CONSISTENCY: {
      ATTUNE_ASSIGN_OR_RETURN(const Messages signatures, LoadMessages(record, record.step, sites, blobs));
      ATTUNE_ASSIGN_OR_RETURN(std::string blob, StoreBytes(out, agg::MakeSurvivorSignatures(signatures)));
      return std::vector<JournalEntry>{Closed(status, sites, std::move(blob))};
    }
    case v1::AGGREGATION_STEP_UNMASK: {
      ATTUNE_ASSIGN_OR_RETURN(const Messages unmaskings, LoadMessages(record, record.step, sites, blobs));
      const absl::StatusOr<agg::Unmasker> unmasker = agg::Unmasker::Create(terms, roster, survivors, unmaskings);
      if (!unmasker.ok()) return std::vector<JournalEntry>{NextAttempt(status, std::string(unmasker.status().message()))};
      ATTUNE_ASSIGN_OR_RETURN(const Question question, LoadQuestion(blobs, RoundOf(status).question_sha256));
      ATTUNE_ASSIGN_OR_RETURN(const Summary sum, Unmask(status, question, *unmasker, blobs));
      return OutcomeOfSum(
          status, manifest, method, question, sum, record.survivors,
          [&](std::string blob) { return Closed(status, sites, std::move(blob)); }, out);
    }
    default:
      return absl::InternalError("secure aggregation is in no step");
  }
}

}  // namespace

absl::Status CheckStepMessage(const StudyStatus& status, const v1::Manifest& manifest, const std::string& site,
                              const std::string& path, const BlobStore& blobs) {
  const AggregationRecord& record = RoundOf(status).aggregation;
  const agg::Terms terms = TermsOf(status, manifest);
  if (record.step == v1::AGGREGATION_STEP_MASKED) {
    ATTUNE_ASSIGN_OR_RETURN(const Question question, LoadQuestion(blobs, RoundOf(status).question_sha256));
    return OpenMasked(path, {status.manifest_sha256, status.round(), RoundOf(status).question_sha256}, question.form).status();
  }
  const absl::StatusOr<std::string> roster = Load(blobs, record.key_roster_sha256);
  if (!roster.ok()) return LocalError(roster.status());
  const absl::StatusOr<std::string> survivors = Load(blobs, record.survivors_sha256);
  if (!survivors.ok()) return LocalError(survivors.status());
  ATTUNE_ASSIGN_OR_RETURN(const std::string message, ReadFile(path, kMaxStepMessageBytes));
  switch (record.step) {
    case v1::AGGREGATION_STEP_KEYS:
      return agg::CheckKeys(terms, site, message);
    case v1::AGGREGATION_STEP_SHARES:
      return agg::CheckShares(terms, site, *roster, message);
    case v1::AGGREGATION_STEP_CONSISTENCY:
      return agg::CheckConsistency(terms, site, *survivors, message);
    case v1::AGGREGATION_STEP_UNMASK:
      return agg::CheckUnmasking(terms, site, *roster, *survivors, message);
    default:
      return absl::InternalError("secure aggregation is in no step");
  }
}

absl::StatusOr<std::vector<JournalEntry>> OutcomeOfStep(const StudyStatus& status, const v1::Manifest& manifest,
                                                        const Method& method, const std::vector<std::string>& sites,
                                                        const BlobStore& blobs, const BlobStore& out) {
  absl::StatusOr<std::vector<JournalEntry>> entries = Compute(status, manifest, method, sites, blobs, out);
  if (!entries.ok()) {
    return LocalError(WithContext(entries.status(), absl::StrCat("study '", status.name, "', round ", status.round())));
  }
  return entries;
}

JournalEntry NextAttempt(const StudyStatus& status, const std::string& why) {
  const std::uint32_t attempt = RoundOf(status).aggregation.attempt + 1;
  if (attempt <= kMostAttempts) {
    JournalEntry e = MakeEntry(status.name, entry::kRestarted, "", status.round());
    e.body = absl::StrCat(attempt, " ", why);
    return e;
  }
  JournalEntry e = MakeEntry(status.name, entry::kFailed, "", status.round());
  e.body = absl::StrCat("secure aggregation did not come to its end in ", kMostAttempts, " attempts; the last: ", why);
  return e;
}

}  // namespace attune

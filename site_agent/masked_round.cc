// SPDX-License-Identifier: Apache-2.0
#include "site_agent/masked_round.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/kernel/fold.h"
#include "common/numeric/fixed_point.h"
#include "common/security/aggregation_terms.h"
#include "common/security/wipe.h"
#include "common/wire/bundle.h"
#include "common/wire/masked_bundle.h"
#include "site_agent/policy.h"

namespace attune {
namespace {

static_assert(kTileWords == aggregation::kChunkWords);

// What is wrong with an entry of the block, in words for the site.
absl::Status DescribeMisfit(const absl::Status& status, const BlockSpec& block) {
  const bool too_large = absl::IsOutOfRange(status);
  return absl::FailedPreconditionError(
      absl::StrCat("block '", block.name, "' cannot be added up under secure aggregation: ", status.message(), ". ",
                   too_large ? "Look for extreme values, or have the feature or covariate in a larger unit"
                             : "Have the feature or covariate in a smaller unit",
                   " at every site (multiply_by in site.yaml, and the unit in the study file)"));
}

// The words of the whole vector `sum`, in the resolution of each block; `summands`: sites that add up.
absl::Status ToWords(const Summary& sum, std::uint64_t first, int summands, std::span<Word128> words) {
  std::uint64_t offset = 0;
  for (const BlockSpec& block : sum.form()) {
    const auto size = static_cast<std::uint64_t>(block.rows * block.cols);
    const std::uint64_t begin = std::max(first, offset);
    const std::uint64_t end = std::min(first + words.size(), offset + size);
    for (std::uint64_t i = begin; i < end; ++i) {
      const absl::StatusOr<Word128> word = ToFixed(sum.values()[i], block.resolution_log2, summands);
      if (!word.ok()) return DescribeMisfit(word.status(), block);
      words[i - first] = *word;
    }
    offset += size;
  }
  return absl::OkStatus();
}

}  // namespace

MaskedRound::MaskedRound(const SiteStudy& study, const aggregation::Signer& signer, std::uint32_t round, std::uint32_t attempt,
                         std::string question_sha256)
    : study_(study),
      signer_(signer),
      question_sha256_(std::move(question_sha256)),
      terms_(aggregation::TermsOf(study.held.manifest, study.held.sha256, round, attempt, question_sha256_)) {}

std::string MaskedRound::ReceivedPath(absl::string_view what) const {
  return study_.folder.File(absl::StrCat("aggregation-received-", what, ".pb"));
}

std::string MaskedRound::MessagePath(v1::AggregationStep step) const {
  return study_.folder.File(absl::StrCat("aggregation-sent-", static_cast<int>(step), ".bundle"));
}

absl::Status MaskedRound::Begin(v1::AggregationStep step) {
  const std::uint32_t round = terms_.session.round();
  const std::uint32_t attempt = terms_.session.attempt();
  absl::StatusOr<v1::AggregationState> state = study_.folder.ReadAggregation();
  if (!state.ok() && !absl::IsNotFound(state.status())) return state.status();
  if (state.ok()) {
    const auto held = std::pair(state->round(), state->attempt());
    if (held > std::pair(round, attempt)) {
      return absl::PermissionDeniedError(absl::StrCat("the coordinator asks for attempt ", attempt, " at round ", round,
                                                      " of study '", study_.name(), "', and this site has begun attempt ",
                                                      held.second, " at round ", held.first,
                                                      ": an attempt that is over is not taken up again"));
    }
    if (held == std::pair(round, attempt)) {
      state_ = *std::move(state);
      if (FileExists(MessagePath(step)) || Secrets().ok()) return absl::OkStatus();
      return absl::NotFoundError("the keys of this attempt are lost");
    }
  }
  if (step != v1::AGGREGATION_STEP_KEYS) return absl::NotFoundError("this site has no keys of this attempt");
  // The state first: what is left of an earlier attempt then belongs to none.
  state_.Clear();
  state_.set_round(round);
  state_.set_attempt(attempt);
  ATTUNE_RETURN_IF_ERROR(study_.folder.ClearAggregation());
  ATTUNE_RETURN_IF_ERROR(study_.folder.WriteAggregation(state_));
  ATTUNE_ASSIGN_OR_RETURN(v1::SessionSecrets secrets, aggregation::NewSecrets(terms_.session));
  std::string bytes = secrets.SerializeAsString();
  aggregation::WipeSecrets(secrets);
  const absl::Status kept = WriteFileAtomically(study_.folder.File(kAggregationSecretsFile), bytes, FileAccess::kOwnerOnly);
  Wipe(bytes);
  CrashPoint("site.secrets_kept");
  return kept;
}

absl::StatusOr<v1::SessionSecrets> MaskedRound::Secrets() const {
  ATTUNE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(study_.folder.File(kAggregationSecretsFile)));
  v1::SessionSecrets secrets;
  const bool read = secrets.ParseFromString(bytes);
  Wipe(bytes);
  if (!read || secrets.session().SerializeAsString() != terms_.session.SerializeAsString()) {
    return absl::NotFoundError("the keys that are kept are not of this attempt");
  }
  return secrets;
}

absl::StatusOr<std::string> MaskedRound::Received(absl::string_view what) const { return ReadFile(ReceivedPath(what)); }

absl::Status MaskedRound::WriteMasked(const Form& form, int threads) {
  const std::uint32_t round = terms_.session.round();
  // One attempt masks one vector: two, under the same masks, would tell their difference.
  ATTUNE_ASSIGN_OR_RETURN(const std::string own_sha256, Sha256OfFile(study_.folder.OwnPath(round)));
  if (state_.own_sha256().empty()) {
    state_.set_own_sha256(own_sha256);
    ATTUNE_RETURN_IF_ERROR(study_.folder.WriteAggregation(state_));
    CrashPoint("site.vector_kept");
  } else if (state_.own_sha256() != own_sha256) {
    return absl::PermissionDeniedError(absl::StrCat("what this site would mask now is not what it masked before in attempt ",
                                                    state_.attempt(), " at round ", round, " of study '", study_.name(),
                                                    "': it does not mask two vectors under the same keys"));
  }
  const BundleBinding binding{study_.held.sha256, round, question_sha256_};
  ATTUNE_ASSIGN_OR_RETURN(const Bundle own, OpenBundle(study_.folder.OwnPath(round), v1::BUNDLE_KIND_ANSWER, binding));
  ATTUNE_ASSIGN_OR_RETURN(const Summary sum, SumOf(form, own.parts));
  ATTUNE_ASSIGN_OR_RETURN(v1::SessionSecrets secrets, Secrets());
  ATTUNE_ASSIGN_OR_RETURN(const std::string roster, Received("key_roster"));
  ATTUNE_ASSIGN_OR_RETURN(const std::string shares, Received("shares"));
  const absl::StatusOr<aggregation::Masker> masker = aggregation::Masker::Create(terms_, study_.site, secrets, roster, shares);
  aggregation::WipeSecrets(secrets);
  ATTUNE_RETURN_IF_ERROR(masker.status());
  const int summands = static_cast<int>(terms_.roster.size());
  return attune::WriteMasked(MessagePath(v1::AGGREGATION_STEP_MASKED), binding, form, threads,
                             [&](std::uint64_t first, std::span<Word128> words) -> absl::Status {
                               ATTUNE_RETURN_IF_ERROR(ToWords(sum, first, summands, words));
                               masker->AddMasks(first, words);
                               return absl::OkStatus();
                             })
      .status();
}

absl::Status MaskedRound::WriteMessage(v1::AggregationStep step, const Form& form, int threads) {
  if (step == v1::AGGREGATION_STEP_MASKED) return WriteMasked(form, threads);
  const auto keep = [&](const std::string& message) {
    return WriteFileAtomically(MessagePath(step), message, FileAccess::kOwnerOnly);
  };
  std::string roster;
  std::string shares;
  std::string survivors;
  if (step >= v1::AGGREGATION_STEP_SHARES) {
    ATTUNE_ASSIGN_OR_RETURN(roster, Received("key_roster"));
  }
  if (step >= v1::AGGREGATION_STEP_CONSISTENCY) {
    ATTUNE_ASSIGN_OR_RETURN(shares, Received("shares"));
    ATTUNE_ASSIGN_OR_RETURN(survivors, Received("survivors"));
    // One attempt has one set of survivors: of two, one site's secrets of both kinds could be had.
    const std::string sha256 = Sha256Hex(survivors);
    if (!state_.survivors_sha256().empty() && state_.survivors_sha256() != sha256) {
      return absl::PermissionDeniedError(absl::StrCat("the coordinator shows two sets of survivors in attempt ",
                                                      state_.attempt(), " at round ", state_.round(), " of study '",
                                                      study_.name(), "'"));
    }
    if (state_.survivors_sha256().empty() && step == v1::AGGREGATION_STEP_UNMASK) {
      return absl::PermissionDeniedError("the coordinator asks to unmask before this site signed whose sums arrived");
    }
    state_.set_survivors_sha256(sha256);
    v1::Survivors list;
    const std::uint32_t fewest = MinSitesOf(study_.policy, v1::RELEASE_POOLED);
    if (!list.ParseFromString(survivors) || static_cast<std::uint32_t>(list.survivors_size()) < fewest) {
      return absl::PermissionDeniedError(absl::StrCat("the sum of round ", state_.round(), " of study '", study_.name(),
                                                      "' would be over ", list.survivors_size(), " sites, fewer than the ",
                                                      fewest, " of this site's policy (min_sites): it is not unmasked"));
    }
  }
  if (step == v1::AGGREGATION_STEP_CONSISTENCY) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string message,
                            aggregation::ConsistencyMessage(terms_, study_.site, roster, shares, survivors, signer_));
    ATTUNE_RETURN_IF_ERROR(study_.folder.WriteAggregation(state_));
    return keep(message);
  }
  ATTUNE_ASSIGN_OR_RETURN(v1::SessionSecrets secrets, Secrets());
  absl::StatusOr<std::string> message =
      absl::InvalidArgumentError("the coordinator asks for a step that this version does not know");
  if (step == v1::AGGREGATION_STEP_KEYS) {
    message = aggregation::KeysMessage(terms_, study_.site, secrets, signer_);
  } else if (step == v1::AGGREGATION_STEP_SHARES) {
    message = aggregation::SharesMessage(terms_, study_.site, secrets, roster);
  } else if (step == v1::AGGREGATION_STEP_UNMASK) {
    const absl::StatusOr<std::string> signatures = Received("signatures");
    message = signatures.ok()
                  ? aggregation::UnmaskingMessage(terms_, study_.site, secrets, roster, shares, survivors, *signatures)
                  : signatures.status();
  }
  aggregation::WipeSecrets(secrets);
  ATTUNE_RETURN_IF_ERROR(message.status());
  ATTUNE_RETURN_IF_ERROR(keep(*message));
  if (step != v1::AGGREGATION_STEP_UNMASK) return absl::OkStatus();
  CrashPoint("site.unmasking_kept");
  return EraseFile(study_.folder.File(kAggregationSecretsFile));
}

absl::StatusOr<v1::UploadHeader> MaskedRound::Message(v1::AggregationStep step, const Form& form, int threads) {
  if (!FileExists(MessagePath(step))) ATTUNE_RETURN_IF_ERROR(WriteMessage(step, form, threads));
  CrashPoint(absl::StrCat("site.step_", static_cast<int>(step), "_kept"));
  v1::UploadHeader header;
  header.set_study(study_.name());
  header.set_manifest_sha256(study_.held.sha256);
  header.set_round(terms_.session.round());
  header.set_attempt(terms_.session.attempt());
  header.set_step(step);
  ATTUNE_ASSIGN_OR_RETURN(*header.mutable_bundle()->mutable_sha256(), Sha256OfFile(MessagePath(step)));
  std::error_code error;
  header.mutable_bundle()->set_size(std::filesystem::file_size(MessagePath(step), error));
  if (error) return absl::InternalError(absl::StrCat("cannot read '", MessagePath(step), "': ", error.message()));
  return header;
}

}  // namespace attune

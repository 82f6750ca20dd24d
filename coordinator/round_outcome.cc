// SPDX-License-Identifier: Apache-2.0
#include "coordinator/round_outcome.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>
#include <thread>
#include <utility>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/fold.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "common/wire/masked_bundle.h"
#include "coordinator/errors.h"

namespace attune {
namespace {

// Writes a bundle beside the blobs and adopts it. The scratch name is fixed, so that a crash leaves at most one file to be
// written over.
absl::StatusOr<std::string> Store(const BlobStore& out, const std::string& name,
                                  absl::FunctionRef<absl::StatusOr<std::string>(const std::string&)> write) {
  const std::string path = out.ScratchPath(name);
  ATTUNE_ASSIGN_OR_RETURN(std::string sha256, write(path));
  ATTUNE_RETURN_IF_ERROR(out.Adopt(path, sha256));
  return sha256;
}

absl::StatusOr<JournalEntry> Ask(const std::string& study, const BundleBinding& binding, const Question& question,
                                 const BlobStore& out) {
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t values,
                          CheckedSize(question.form, std::numeric_limits<std::size_t>::max() / sizeof(double)));
  ATTUNE_ASSIGN_OR_RETURN(std::string sha256,
                          Store(out, absl::StrCat("question/", study, "/", binding.round),
                                [&](const std::string& path) { return WriteQuestion(path, binding, question); }));
  JournalEntry asked;
  asked.study = study;
  asked.kind = entry::kAsked;
  asked.round = binding.round;
  asked.blob = std::move(sha256);
  asked.body = absl::StrCat(values);
  return asked;
}

absl::StatusOr<std::vector<JournalEntry>> Correct(const StudyStatus& status, const BundleBinding& binding,
                                                  const Correction& correction, const BlobStore& out) {
  std::vector<JournalEntry> entries;
  const auto add = [&](const char* kind, const std::string& site,
                       absl::FunctionRef<absl::StatusOr<std::string>(const std::string&)> write) -> absl::Status {
    JournalEntry e;
    e.study = status.name;
    e.kind = kind;
    e.site = site;
    e.round = binding.round;
    ATTUNE_ASSIGN_OR_RETURN(e.blob, Store(out, absl::StrCat(kind, "/", status.name, "/", site), write));
    entries.push_back(std::move(e));
    return absl::OkStatus();
  };
  ATTUNE_RETURN_IF_ERROR(
      add(entry::kCorrected, "", [&](const std::string& path) { return WriteCorrectionCommon(path, binding, correction); }));
  if (!correction.by_batch.empty()) {
    for (const auto& [site, registration] : status.sites) {
      ATTUNE_RETURN_IF_ERROR(add(entry::kCorrectedSite, site, [&, &name = site](const std::string& path) {
        return WriteCorrectionSite(path, binding, correction, name);
      }));
    }
  }
  if (!correction.evidence.form().empty()) {
    ATTUNE_RETURN_IF_ERROR(
        add(entry::kEvidence, "", [&](const std::string& path) { return WriteEvidence(path, binding, correction); }));
  }
  return entries;
}

// All of this machine: an outcome is computed alone, and everybody waits for it.
int ComputingThreads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

absl::StatusOr<Answers> GatherAnswers(const StudyStatus& status, const RoundRecord& record, Release release,
                                      const Question& question, const BlobStore& blobs) {
  std::map<std::string, Summary> parts;  // by batch, or under pooled by site
  for (const auto& [site, sha256] : record.answers) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
    absl::StatusOr<std::map<std::string, Summary>> answer =
        OpenAnswer(path, status.manifest_sha256, record.question_sha256, question, status.PartsOf(site), BundleValues::kKnown);
    // It was checked when it came in, and its digest now: what is wrong went wrong on this machine.
    if (!answer.ok()) return absl::DataLossError(absl::StrCat("answer of site '", site, "': ", answer.status().message()));
    if (release == Release::kPooled) {
      parts[site] = std::move(answer->at(kSumPart));
    } else {
      parts.merge(*answer);
    }
  }
  if (release == Release::kPerBatch) return AddUp(question.form, release, std::move(parts), ComputingThreads());
  Answers answers;
  ATTUNE_ASSIGN_OR_RETURN(answers.pooled, SumOf(question.form, parts, ComputingThreads()));
  return answers;
}

// Whether what the method gives can be sent: its values are finite.
absl::Status CheckFinite(const std::variant<Question, Correction>& next) {
  if (const auto* question = std::get_if<Question>(&next)) return question->body.CheckFinite();
  const Correction& correction = std::get<Correction>(next);
  ATTUNE_RETURN_IF_ERROR(correction.common.CheckFinite());
  for (const auto& [batch, blocks] : correction.by_batch) {
    ATTUNE_RETURN_IF_ERROR(blocks.CheckFinite());
    blocks.Evict();
  }
  return correction.evidence.CheckFinite();
}

// What the data say, as against what goes wrong here: InvalidArgument, such as sums that overflow, and FailedPrecondition end
// the study. All others leave it as it is, to be tried again.
bool EndsStudy(const absl::Status& why) { return absl::IsFailedPrecondition(why) || absl::IsInvalidArgument(why); }

std::vector<JournalEntry> Failed(const StudyStatus& status, std::uint32_t round, const absl::Status& why) {
  JournalEntry e;
  e.study = status.name;
  e.kind = entry::kFailed;
  e.round = round;
  e.body = std::string(why.message());
  return {std::move(e)};
}

// What the method makes of the answers.
absl::StatusOr<std::vector<JournalEntry>> Follow(const StudyStatus& status, const StudyFacts& facts, const Method& method,
                                                 const Question& question, const std::string& question_sha256,
                                                 const Answers& answers, const BlobStore& out) {
  const std::uint32_t round = question.round;
  absl::StatusOr<std::variant<Question, Correction>> next = method.Next(facts, question, answers, ComputingThreads());
  if (EndsStudy(next.status())) return Failed(status, round, next.status());
  if (!next.ok()) return next.status();
  if (const absl::Status finite = CheckFinite(*next); !finite.ok()) return Failed(status, round, finite);
  if (std::holds_alternative<Correction>(*next)) {
    return Correct(status, {status.manifest_sha256, round, question_sha256}, std::get<Correction>(*next), out);
  }
  if (std::get<Question>(*next).round != round + 1) {
    return absl::InternalError(absl::StrCat("the method '", method.info().id, "' asked a question of round ",
                                            std::get<Question>(*next).round, " after round ", round));
  }
  ATTUNE_ASSIGN_OR_RETURN(JournalEntry asked,
                          Ask(status.name, {status.manifest_sha256, round + 1, ""}, std::get<Question>(*next), out));
  return std::vector<JournalEntry>{std::move(asked)};
}

absl::StatusOr<std::vector<JournalEntry>> ComputeOutcome(const StudyStatus& status, const v1::Manifest& manifest,
                                                         const Method& method, std::uint32_t round, const BlobStore& blobs,
                                                         const BlobStore& out) {
  if (round == 0 || round > status.round() || status.rounds[round - 1].answers.size() != status.sites.size()) {
    return absl::InternalError(absl::StrCat("round ", round, " of the study '", status.name, "' is not answered yet"));
  }
  const RoundRecord& record = status.rounds[round - 1];
  const StudyFacts facts = FactsOf(manifest);
  ATTUNE_ASSIGN_OR_RETURN(const Question question, LoadQuestion(blobs, record.question_sha256));
  const absl::StatusOr<Answers> answers = GatherAnswers(status, record, facts.release, question, blobs);
  if (EndsStudy(answers.status())) return Failed(status, round, answers.status());
  if (!answers.ok()) return answers.status();
  return Follow(status, facts, method, question, record.question_sha256, *answers, out);
}

}  // namespace

absl::StatusOr<std::vector<JournalEntry>> FirstQuestion(const std::string& study, const std::string& manifest_sha256,
                                                        const v1::Manifest& manifest, const Method& method,
                                                        const BlobStore& out) {
  ATTUNE_ASSIGN_OR_RETURN(const Question question, method.Begin(FactsOf(manifest)));
  absl::StatusOr<JournalEntry> asked = Ask(study, {manifest_sha256, 1, ""}, question, out);
  if (!asked.ok()) return LocalError(asked.status());
  return std::vector<JournalEntry>{*std::move(asked)};
}

absl::StatusOr<std::vector<JournalEntry>> OutcomeOfRound(const StudyStatus& status, const v1::Manifest& manifest,
                                                         const Method& method, std::uint32_t round, const BlobStore& blobs,
                                                         const BlobStore& out) {
  absl::StatusOr<std::vector<JournalEntry>> entries = ComputeOutcome(status, manifest, method, round, blobs, out);
  if (!entries.ok()) {
    return LocalError(WithContext(entries.status(), absl::StrCat("study '", status.name, "', round ", round)));
  }
  return entries;
}

absl::StatusOr<std::vector<JournalEntry>> OutcomeOfSum(const StudyStatus& status, const v1::Manifest& manifest,
                                                       const Method& method, const Question& question, const Summary& sum,
                                                       const std::vector<std::string>& sites,
                                                       absl::FunctionRef<JournalEntry(std::string sum_sha256)> closed,
                                                       const BlobStore& out) {
  const std::string& question_sha256 = status.rounds[question.round - 1].question_sha256;
  const BundleBinding binding{status.manifest_sha256, question.round, question_sha256};
  ATTUNE_ASSIGN_OR_RETURN(std::string sum_sha256,
                          Store(out, absl::StrCat("sum/", status.name, "/", question.round),
                                [&](const std::string& path) { return WriteSum(path, binding, sum, sites); }));
  std::vector<JournalEntry> entries{closed(std::move(sum_sha256))};
  ATTUNE_ASSIGN_OR_RETURN(std::vector<JournalEntry> next, Follow(status, FactsOf(manifest, sites), method, question,
                                                                 question_sha256, {.pooled = sum, .by_batch = {}}, out));
  entries.insert(entries.end(), std::make_move_iterator(next.begin()), std::make_move_iterator(next.end()));
  return entries;
}

absl::StatusOr<std::map<std::string, Summary>> OpenAnswer(const std::string& path, const std::string& manifest_sha256,
                                                          const std::string& question_sha256, const Question& question,
                                                          const std::vector<std::string>& parts, BundleValues values) {
  const BundleBinding binding{manifest_sha256, question.round, question_sha256};
  ATTUNE_ASSIGN_OR_RETURN(Bundle bundle,
                          OpenPackedAnswer(path, binding, values, MaxAnswerHeaderBytes(binding, question.form, parts)));
  std::vector<std::string> names;
  for (const auto& [name, blocks] : bundle.parts) names.push_back(name);
  if (names != parts) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answer has the parts ", JoinSome(names), "; expected are ", JoinSome(parts)));
  }
  for (const auto& [name, blocks] : bundle.parts) {
    if (blocks.form() != question.form) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the part '", name,
          "' of the answer has not the form that was asked for: ", DescribeDifference(blocks.form(), question.form)));
    }
  }
  return std::move(bundle.parts);
}

absl::StatusOr<Question> LoadQuestion(const BlobStore& blobs, const std::string& sha256) {
  const auto load = [&]() -> absl::StatusOr<Question> {
    ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
    ATTUNE_ASSIGN_OR_RETURN(const Bundle bundle, OpenBundle(path, v1::BUNDLE_KIND_QUESTION, {"", 0, ""}));
    return QuestionOf(bundle);
  };
  absl::StatusOr<Question> question = load();
  if (!question.ok()) return LocalError(question.status());
  return question;
}

absl::StatusOr<v1::Manifest> LoadManifest(const BlobStore& blobs, const std::string& sha256) {
  const auto load = [&]() -> absl::StatusOr<v1::Manifest> {
    ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(sha256));
    ATTUNE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    return ParseManifest(bytes);
  };
  absl::StatusOr<v1::Manifest> manifest = load();
  if (!manifest.ok()) return LocalError(manifest.status());
  return manifest;
}

absl::StatusOr<std::string> StoreBytes(const BlobStore& blobs, absl::string_view bytes) {
  const std::string sha256 = Sha256Hex(bytes);
  // Two sites may register the same bytes at the same time: each writes a scratch file of its own.
  static std::atomic<std::uint64_t> counter{0};
  const std::string path = blobs.ScratchPath(absl::StrCat("bytes-", ::getpid(), "-", ++counter));
  absl::Status stored = WriteFileAtomically(path, bytes, FileAccess::kOwnerOnly);
  if (stored.ok()) stored = blobs.Adopt(path, sha256);
  if (!stored.ok()) return LocalError(stored);
  return sha256;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/bundle.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/wire/bundle_file.h"

namespace attune {
namespace {

v1::BundleHeader HeaderOf(v1::BundleKind kind, const BundleBinding& binding) {
  v1::BundleHeader header;
  header.set_kind(kind);
  header.set_manifest_sha256(binding.manifest_sha256);
  header.set_round(binding.round);
  if (kind != v1::BUNDLE_KIND_QUESTION) header.set_question_sha256(binding.question_sha256);
  return header;
}

std::string KindName(v1::BundleKind kind) {
  switch (kind) {
    case v1::BUNDLE_KIND_QUESTION:
      return "a question";
    case v1::BUNDLE_KIND_ANSWER:
      return "an answer";
    case v1::BUNDLE_KIND_CORRECTION_COMMON:
      return "the common part of a correction";
    case v1::BUNDLE_KIND_CORRECTION_SITE:
      return "a site's part of a correction";
    case v1::BUNDLE_KIND_EVIDENCE:
      return "evidence";
    case v1::BUNDLE_KIND_MASKED:
      return "a masked sum";
    case v1::BUNDLE_KIND_SUM:
      return "a sum over sites";
    default:
      return "of an unknown kind";
  }
}

// The one part of a bundle of this kind; empty where parts are batches.
absl::string_view OnlyPartOf(v1::BundleKind kind) {
  switch (kind) {
    case v1::BUNDLE_KIND_QUESTION:
      return kBodyPart;
    case v1::BUNDLE_KIND_CORRECTION_COMMON:
      return kCommonPart;
    case v1::BUNDLE_KIND_EVIDENCE:
      return kEvidencePart;
    case v1::BUNDLE_KIND_SUM:
      return kSumPart;
    default:
      return "";
  }
}

absl::Status CheckBinding(const v1::BundleHeader& header, const BundleBinding& binding) {
  const auto differs = [](absl::string_view what, absl::string_view is, absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat("it belongs to ", what, " ", is, ", expected ", expected));
  };
  if (!binding.manifest_sha256.empty() && header.manifest_sha256() != binding.manifest_sha256) {
    return differs("the manifest", header.manifest_sha256(), binding.manifest_sha256);
  }
  // A model is of no round.
  if (header.round() == 0 && header.kind() != v1::BUNDLE_KIND_MODEL) {
    return absl::InvalidArgumentError("its round is 0; rounds count from 1");
  }
  if (binding.round != 0 && header.round() != binding.round) {
    return differs("round", absl::StrCat(header.round()), absl::StrCat(binding.round));
  }
  if (header.kind() != v1::BUNDLE_KIND_QUESTION && !binding.question_sha256.empty() &&
      header.question_sha256() != binding.question_sha256) {
    return differs("the question", header.question_sha256(), binding.question_sha256);
  }
  return absl::OkStatus();
}

// What only some kinds may hold.
absl::Status CheckShape(const Bundle& bundle) {
  const v1::BundleHeader& header = bundle.header;
  const absl::string_view only = OnlyPartOf(header.kind());
  if (only.empty() ? bundle.parts.empty() : bundle.parts.size() != 1 || bundle.parts.begin()->first != only) {
    return absl::InvalidArgumentError(absl::StrCat("it has ", bundle.parts.size(), " parts, expected ",
                                                   only.empty() ? "one per batch" : absl::StrCat("'", only, "' alone")));
  }
  const bool is_question = header.kind() == v1::BUNDLE_KIND_QUESTION;
  if (!is_question && header.asked_size() > 0) return absl::InvalidArgumentError("it asks for a form, as only a question may");
  if (is_question && !header.question_sha256().empty()) return absl::InvalidArgumentError("it is a question to a question");
  const bool may_have_notes = header.kind() == v1::BUNDLE_KIND_CORRECTION_COMMON || header.kind() == v1::BUNDLE_KIND_EVIDENCE ||
                              header.kind() == v1::BUNDLE_KIND_SUM;
  if (header.notes_size() > 0 && !may_have_notes) {
    return absl::InvalidArgumentError("it has notes, as only a correction, evidence or a sum may");
  }
  return absl::OkStatus();
}

absl::Status CheckBundle(const Bundle& bundle, v1::BundleKind kind, const BundleBinding& binding) {
  if (bundle.header.kind() != kind) {
    return absl::InvalidArgumentError(absl::StrCat("it is ", KindName(bundle.header.kind()), ", expected ", KindName(kind)));
  }
  ATTUNE_RETURN_IF_ERROR(CheckBinding(bundle.header, binding));
  return CheckShape(bundle);
}

absl::StatusOr<Bundle> Open(const std::string& path, v1::BundleKind kind, const BundleBinding& binding, BundleValues values,
                            std::size_t max_header_bytes) {
  auto bundle = ReadBundleFile(path, max_header_bytes, values);
  const absl::Status status = bundle.ok() ? CheckBundle(*bundle, kind, binding) : bundle.status();
  if (absl::IsInvalidArgument(status) || absl::IsDataLoss(status))
    return Printable(WithContext(status, absl::StrCat("bundle '", path, "'")));
  if (!status.ok()) return status;  // it could not be opened: the message names it
  return bundle;
}

}  // namespace

absl::StatusOr<std::string> WriteQuestion(const std::string& path, const BundleBinding& binding, const Question& question) {
  if (question.round != binding.round) {
    return absl::InvalidArgumentError(
        absl::StrCat("a question of round ", question.round, " cannot be written as one of round ", binding.round));
  }
  v1::BundleHeader header = HeaderOf(v1::BUNDLE_KIND_QUESTION, binding);
  FormToProto(question.form, header.mutable_asked());
  return WriteBundleFile(path, std::move(header), {{kBodyPart, &question.body}});
}

absl::StatusOr<std::string> WriteAnswer(const std::string& path, const BundleBinding& binding,
                                        const std::map<std::string, Summary>& parts) {
  if (parts.empty()) return absl::InvalidArgumentError("an answer needs the filled form of at least one batch");
  BlocksByName blocks;
  for (const auto& [name, summary] : parts) blocks.emplace(name, &summary);
  return WriteBundleFile(path, HeaderOf(v1::BUNDLE_KIND_ANSWER, binding), blocks);
}

absl::StatusOr<std::string> WriteCorrectionCommon(const std::string& path, const BundleBinding& binding,
                                                  const Correction& correction) {
  v1::BundleHeader header = HeaderOf(v1::BUNDLE_KIND_CORRECTION_COMMON, binding);
  for (const std::string& note : correction.notes) header.add_notes(note);
  return WriteBundleFile(path, std::move(header), {{kCommonPart, &correction.common}});
}

absl::StatusOr<std::string> WriteCorrectionSite(const std::string& path, const BundleBinding& binding,
                                                const Correction& correction, absl::string_view site) {
  BlocksByName blocks;
  for (const auto& [batch, part] : correction.by_batch) {
    if (SiteOf(batch) == site) blocks.emplace(batch, &part);
  }
  if (blocks.empty()) return absl::InvalidArgumentError(absl::StrCat("the correction holds no batch of site '", site, "'"));
  return WriteBundleFile(path, HeaderOf(v1::BUNDLE_KIND_CORRECTION_SITE, binding), blocks);
}

absl::StatusOr<std::string> WriteEvidence(const std::string& path, const BundleBinding& binding, const Correction& correction) {
  v1::BundleHeader header = HeaderOf(v1::BUNDLE_KIND_EVIDENCE, binding);
  for (const std::string& note : correction.batch_notes) header.add_notes(note);
  return WriteBundleFile(path, std::move(header), {{kEvidencePart, &correction.evidence}});
}

std::size_t MaxAnswerHeaderBytes(const BundleBinding& binding, const Form& form, const std::vector<std::string>& parts) {
  v1::BundleHeader header = HeaderOf(v1::BUNDLE_KIND_ANSWER, binding);
  for (const std::string& name : parts) {
    v1::Part* part = header.add_parts();
    part->set_name(name);
    FormToProto(form, part->mutable_form());
  }
  constexpr std::size_t kRoomForMistakes = 4096;
  return 2 * header.ByteSizeLong() + kRoomForMistakes;
}

absl::StatusOr<Bundle> OpenBundle(const std::string& path, v1::BundleKind kind, const BundleBinding& binding,
                                  std::size_t max_header_bytes) {
  ATTUNE_ASSIGN_OR_RETURN(Bundle bundle, Open(path, kind, binding, BundleValues::kChecked, max_header_bytes));
  for (auto& [name, blocks] : bundle.parts) {
    if (blocks.AnyPacked()) blocks = blocks.Unpacked();
  }
  return bundle;
}

absl::StatusOr<Bundle> OpenPackedAnswer(const std::string& path, const BundleBinding& binding, BundleValues values,
                                        std::size_t max_header_bytes) {
  return Open(path, v1::BUNDLE_KIND_ANSWER, binding, values, max_header_bytes);
}

absl::StatusOr<Question> QuestionOf(const Bundle& bundle) {
  const auto body = bundle.parts.find(kBodyPart);
  if (bundle.header.kind() != v1::BUNDLE_KIND_QUESTION || body == bundle.parts.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the bundle is ", KindName(bundle.header.kind()), ", expected a question"));
  }
  absl::StatusOr<Form> form = FormFromProto(bundle.header.asked(), kMaxFormEntries);
  if (!form.ok()) return Printable(form.status());
  return Question{.round = bundle.header.round(), .form = *std::move(form), .body = body->second};
}

absl::StatusOr<Correction> CorrectionOf(const Bundle& common, const Bundle* site) {
  const auto part = common.parts.find(kCommonPart);
  if (common.header.kind() != v1::BUNDLE_KIND_CORRECTION_COMMON || part == common.parts.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the bundle is ", KindName(common.header.kind()), ", expected ",
                                                   KindName(v1::BUNDLE_KIND_CORRECTION_COMMON)));
  }
  Correction correction = {.common = part->second, .notes = {common.header.notes().begin(), common.header.notes().end()}};
  if (site != nullptr) {
    ATTUNE_RETURN_IF_ERROR(CheckBundle(*site, v1::BUNDLE_KIND_CORRECTION_SITE,
                                       {.manifest_sha256 = common.header.manifest_sha256(),
                                        .round = common.header.round(),
                                        .question_sha256 = common.header.question_sha256()}));
    for (const auto& [batch, blocks] : site->parts) correction.by_batch.emplace(batch, blocks);
  }
  return correction;
}

}  // namespace attune

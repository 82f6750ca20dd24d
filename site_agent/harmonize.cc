// SPDX-License-Identifier: Apache-2.0
#include "site_agent/harmonize.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/bundle.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "site_agent/imaging/image_data.h"
#include "site_agent/imaging/image_derivative.h"
#include "site_agent/tables/derivative.h"

namespace attune {
namespace {

std::string Normal(const std::string& folder) { return std::filesystem::absolute(folder).lexically_normal().string(); }

// What WriteDerivative does not know itself.
v1::Sidecar SidecarOf(const FittedModel& model) {
  v1::Sidecar sidecar;
  sidecar.set_description(absl::StrCat((model.file.voxels() > 0 ? "Images" : "Features"), " harmonized by ",
                                       model.file.method(), " in study ", model.file.study()));
  sidecar.set_study(model.file.study());
  sidecar.set_manifest_sha256(model.file.manifest_sha256());
  sidecar.set_method(model.file.method());
  for (const v1::CovariateConfig& covariate : model.file.config().covariates()) sidecar.add_covariates(covariate.name());
  *sidecar.mutable_notes() = model.file.notes();
  for (const auto& [batch, fitted] : model.by_batch) {
    for (const std::string& note : fitted.notes) sidecar.add_notes(absl::StrCat("batch ", batch, ": ", note));
  }
  return sidecar;
}

// Whether the folder holds the table that this model gives of these data, whole.
bool IsComplete(const std::string& folder, const SiteData& data, const FittedModel& model) {
  if (data.images() != nullptr) return false;  // WriteImageDerivative keeps each image that is finished
  const auto text = ReadFile(absl::StrCat(folder, "/", kHarmonizedSidecar));
  v1::Sidecar sidecar;
  if (!text.ok() || !FromJson(*text, kHarmonizedSidecar, &sidecar).ok()) return false;
  const bool same_inputs =
      std::equal(sidecar.inputs().begin(), sidecar.inputs().end(), data.inputs().begin(), data.inputs().end(),
                 [](const v1::FileDigest& a, const v1::FileDigest& b) { return a.sha256() == b.sha256(); });
  return same_inputs && sidecar.manifest_sha256() == model.file.manifest_sha256() &&
         sidecar.model_sha256() == Sha256Hex(ToJson(model.file)) && FileExists(absl::StrCat(folder, "/", kHarmonizedTable));
}

// Whether this site has begun to write its harmonized data of this very study there.
bool IsClaimed(const SiteStudy& study, const std::string& folder) {
  const absl::StatusOr<v1::OutputClaim> claim = study.folder.ReadOutputClaim();
  return claim.ok() && claim->manifest_sha256() == study.held.sha256 && claim->folder() == Normal(folder);
}

// This site's own filled forms of a round, checked against the question they answer.
absl::StatusOr<Bundle> OpenOwn(const SiteStudy& study, std::uint32_t round) {
  return OpenBundle(study.folder.OwnPath(round), v1::BUNDLE_KIND_ANSWER,
                    {.manifest_sha256 = study.held.sha256, .round = round});
}

absl::StatusOr<FittedModel> FitAll(const SiteStudy& study, bool has_own, int threads) {
  const bool masked = study.held.manifest.has_aggregation();
  const std::uint32_t last = study.folder.LastAnsweredRound();
  if (masked ? !FileExists(study.folder.OwnPath(1)) : last == 0) {
    return absl::FailedPreconditionError(absl::StrCat("study '", study.name(),
                                                      "' has a correction, but this folder holds no answer of this "
                                                      "site: give --dir of the folder that answered"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Bundle own, OpenOwn(study, 1));
  BundleBinding binding{.manifest_sha256 = study.held.sha256, .round = last};
  if (masked) {
    binding.round = 0;  // this site computed it itself, from the sums of all rounds, and may have missed the last
  } else {
    ATTUNE_ASSIGN_OR_RETURN(const Bundle latest, OpenOwn(study, last));
    binding.question_sha256 = latest.header.question_sha256();
  }
  ATTUNE_ASSIGN_OR_RETURN(const Bundle common,
                          OpenBundle(study.folder.File(kCorrectionCommonFile), v1::BUNDLE_KIND_CORRECTION_COMMON, binding));
  Bundle site;
  if (has_own) {
    ATTUNE_ASSIGN_OR_RETURN(site, OpenBundle(study.folder.File(kCorrectionSiteFile), v1::BUNDLE_KIND_CORRECTION_SITE, binding));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Correction correction, CorrectionOf(common, has_own ? &site : nullptr));
  std::map<BatchId, BatchModel> models;
  for (const BatchId& batch : study.batches) {
    const auto part = own.parts.find(batch);
    if (part == own.parts.end()) {
      return absl::DataLossError(absl::StrCat("'", study.folder.OwnPath(1), "' has no part of batch '", batch, "'"));
    }
    if (study.facts.release == Release::kPerBatch && !correction.by_batch.contains(batch)) {
      return absl::DataLossError(absl::StrCat("the correction has no part of batch '", batch, "'"));
    }
    ATTUNE_ASSIGN_OR_RETURN(models[batch], study.method->Fit(study.facts, correction, batch, part->second, threads));
  }
  return MakeFittedModel(study.held.manifest, study.held.sha256, std::move(models), correction.notes);
}

}  // namespace

FittedModel MakeFittedModel(const v1::Manifest& manifest, const std::string& manifest_sha256,
                            std::map<BatchId, BatchModel> models, const std::vector<std::string>& notes) {
  FittedModel model{.by_batch = std::move(models)};
  model.file = MakeModelFile(manifest, manifest_sha256, model.by_batch, notes);
  if (manifest.voxels() > 0) {
    const v1::Attachment* mask = FindAttachment(manifest.attachments(), kMaskAttachment);
    model.file.mutable_mask()->set_file(manifest.config().features().images().mask());
    if (mask != nullptr) model.file.mutable_mask()->set_sha256(mask->sha256());
  }
  return model;
}

absl::Status WriteHarmonized(const SiteData& data, const Method& method, const FittedModel& model, const std::string& folder,
                             const OutputType& output, bool force) {
  if (const ImageData* images = data.images()) {
    const ImageOutput options{.folder = folder, .force = force, .type = output.image, .threads = output.threads};
    return WriteImageDerivative(
        *images, model.by_batch,
        [&](const Subject& subject, std::span<double> out) {
          CrashPoint("site.harmonizing");
          return method.Apply(model.by_batch.at(subject.batch), subject, out);
        },
        SidecarOf(model), model.file, options);
  }
  bool first_row = true;
  return WriteDerivative(data,
                         [&](const Subject& subject, std::span<double> out) {
                           if (std::exchange(first_row, false)) CrashPoint("site.harmonizing");
                           return method.Apply(model.by_batch.at(subject.batch), subject, out);
                         },
                         SidecarOf(model), ToJson(model.file), {.folder = folder, .force = force});
}

absl::Status HarmonizeFromCorrection(const SiteStudy& study, const SiteTables& tables, bool has_own, const std::string& folder,
                                     const OutputType& output, bool force) {
  ATTUNE_RETURN_IF_ERROR(CheckBatchesAreRegistered(study, *tables.data));
  ATTUNE_ASSIGN_OR_RETURN(const FittedModel model, FitAll(study, has_own, output.threads));
  if (IsComplete(folder, *tables.data, model)) return absl::OkStatus();
  ATTUNE_RETURN_IF_ERROR(CheckOutputFree(study, folder, force));
  v1::OutputClaim claim;
  claim.set_manifest_sha256(study.held.sha256);
  claim.set_folder(Normal(folder));
  ATTUNE_RETURN_IF_ERROR(study.folder.WriteOutputClaim(claim));
  return WriteHarmonized(*tables.data, *study.method, model, folder, output, true);
}

absl::Status CheckOutputFree(const SiteStudy& study, const std::string& folder, bool force) {
  ATTUNE_RETURN_IF_ERROR(CheckDerivativeFree(folder, force || IsClaimed(study, folder)));
  // What cannot be written is better known before anything is sent.
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder, FileAccess::kShared));
  return AtomicFile::Create(absl::StrCat(folder, "/", kHarmonizedTable), FileAccess::kShared).status();
}

}  // namespace attune

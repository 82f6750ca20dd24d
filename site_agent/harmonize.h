// SPDX-License-Identifier: Apache-2.0
//
// From models to harmonized tables and images on disk.
#ifndef ATTUNE_SITE_AGENT_HARMONIZE_H_
#define ATTUNE_SITE_AGENT_HARMONIZE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/outputs.pb.h"
#include "common/kernel/method.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/site_study.h"

namespace attune {

inline constexpr char kCorrectionCommonFile[] = "correction-common.bundle";
inline constexpr char kCorrectionSiteFile[] = "correction-site.bundle";

// A fitted model, in the form that is applied and in the one that is saved.
struct FittedModel {
  std::map<BatchId, BatchModel> by_batch;
  v1::ModelFile file;  // with images, less the digest of model.bundle until it is written
};

// How harmonized images are stored.
struct OutputType {
  ImageType image = ImageType::kFloat32;
  int threads = 1;
};

// The model of a study that was fitted.
FittedModel MakeFittedModel(const v1::Manifest& manifest, const std::string& manifest_sha256,
                            std::map<BatchId, BatchModel> models, const std::vector<std::string>& notes);

// Applies the model to every row and writes the derivative folder: model and sidecar first, the table last, so that a table
// means that all is there. AlreadyExists when something is there and not `force`.
absl::Status WriteHarmonized(const SiteData& data, const Method& method, const FittedModel& model, const std::string& folder,
                             const OutputType& output, bool force);

// Fits every batch from the correction that was fetched into the study's folder (with this site's own part when `has_own`) and
// its own form of round 1, and writes the harmonized data. Leaves an output alone that is this very one and complete; goes on
// with one that it had begun itself; else AlreadyExists unless `force`. DataLoss when the correction is not what the fit gives.
absl::Status HarmonizeFromCorrection(const SiteStudy& study, const SiteTables& tables, bool has_own, const std::string& folder,
                                     const OutputType& output, bool force);

// Before anything is sent: AlreadyExists when HarmonizeFromCorrection would end with it.
absl::Status CheckOutputFree(const SiteStudy& study, const std::string& folder, bool force);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_HARMONIZE_H_

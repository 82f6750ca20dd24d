// SPDX-License-Identifier: Apache-2.0
//
// The harmonized table as a BIDS derivative:
//   <folder>/dataset_description.json
//            desc-harmonized_features.tsv    the table
//            desc-harmonized_features.json   its sidecar: where it comes from
//            model.json
#ifndef ATTUNE_SITE_AGENT_TABLES_DERIVATIVE_H_
#define ATTUNE_SITE_AGENT_TABLES_DERIVATIVE_H_

#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attune/v1/outputs.pb.h"
#include "site_agent/tables/site_data.h"

namespace attune {

inline constexpr char kDescriptionFile[] = "dataset_description.json";
inline constexpr char kHarmonizedTable[] = "desc-harmonized_features.tsv";
inline constexpr char kHarmonizedSidecar[] = "desc-harmonized_features.json";
inline constexpr char kModelFile[] = "model.json";
// With images (site_agent/imaging/image_derivative.h):
inline constexpr char kHarmonizedImages[] = "desc-harmonized_images.tsv";
inline constexpr char kHarmonizedImagesSidecar[] = "desc-harmonized_images.json";
inline constexpr char kModelParameters[] = "model.bundle";

struct DerivativeOptions {
  std::string folder;  // made when it is missing; not empty
  bool force = false;  // replaces an earlier derivative of ours
};

// Whether the folder is free for a derivative: ask before any work is done. Fails with InvalidArgument when there is something
// that is no folder, or one of the files is none, and with AlreadyExists when one of the files exists and not `force`, or, even
// so, when the folder is a data set that another program described. What a run left behind that was killed before its table
// stood may be replaced.
absl::Status CheckDerivativeFree(const std::string& folder, bool force);

// AlreadyExists when one of the files that a derivative in this folder has would replace a file that is read.
absl::Status CheckIsNoInput(const SiteData& data, const std::string& folder);

// What dataset_description.json says.
std::string DatasetDescription(const std::string& study);

// Fills in what follows from the data and the model.
void FillInSidecar(const SiteData& data, absl::string_view model_json, v1::Sidecar* sidecar);

// Writes the four files. The table appears last: where it stands, all of it is complete and belongs together. An error on
// the data or for want of space leaves what was there before. `apply` as in SiteData::StageTable. Of the sidecar the caller
// gives description, study, manifest, method, covariates and notes; the rest follows from the data and the model and is filled
// in here. Fails as CheckDerivativeFree and StageTable do, and with AlreadyExists, whatever `force`, when a file would replace
// a table that is read.
absl::Status WriteDerivative(const SiteData& data, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply,
                             v1::Sidecar sidecar, absl::string_view model_json, const DerivativeOptions& options);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_DERIVATIVE_H_

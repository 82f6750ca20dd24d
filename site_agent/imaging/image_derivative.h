// SPDX-License-Identifier: Apache-2.0
//
// Harmonized images as a BIDS derivative, in one folder:
//   dataset_description.json
//   images/...                   each harmonized image, named after its input (HarmonizedImageName), and its sidecar
//   maps/...                     the model as images: alpha, sigma, beta of each design column; gamma and delta of each batch
//   mask.nii.gz                  the study's mask, under the name it has there
//   model.json, model.bundle     the model, to harmonize new subjects later
//   desc-harmonized_images.tsv   participant_id and image, and its sidecar: where all this comes from
#ifndef ATTUNE_SITE_AGENT_IMAGING_IMAGE_DERIVATIVE_H_
#define ATTUNE_SITE_AGENT_IMAGING_IMAGE_DERIVATIVE_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attune/v1/outputs.pb.h"
#include "common/kernel/method.h"
#include "site_agent/imaging/image_data.h"
#include "site_agent/tables/derivative.h"

namespace attune {

struct ImageOutput {
  std::string folder;
  bool force = false;
  ImageType type = ImageType::kFloat32;
  int threads = 1;
};

// libdeflate's; stated in every sidecar.
inline constexpr int kGzipLevel = 1;

// Writes everything; the table appears last: where it stands, all of it is complete. An image that an earlier run of the same
// model has finished is kept (its sidecar names the input, the model and the output by digest). `apply` is called from several
// threads. Of `sidecar` the caller gives what WriteDerivative asks; `model` gets the digest of model.bundle. Fails with
// AlreadyExists, before anything is changed, as CheckDerivativeFree does and when an output would replace an input; as
// ImageData::ForEach does; and with InvalidArgument when a harmonized value is not finite.
absl::Status WriteImageDerivative(const ImageData& data, const std::map<BatchId, BatchModel>& models,
                                  absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply,
                                  v1::Sidecar sidecar, v1::ModelFile model, const ImageOutput& output);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_IMAGE_DERIVATIVE_H_

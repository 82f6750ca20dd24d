// SPDX-License-Identifier: Apache-2.0
//
// model.json: the models of a site's batches, to harmonize new subjects later. Holds no row of any person.
#ifndef ATTUNE_COMMON_WIRE_MODEL_FILE_H_
#define ATTUNE_COMMON_WIRE_MODEL_FILE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/outputs.pb.h"
#include "attune/v1/study.pb.h"
#include "common/kernel/method.h"

namespace attune {

// Version of the format. A file of another version is refused.
inline constexpr int kModelFormat = 1;

// With voxels the parameters are left to model.bundle (WriteModels), which the caller names in the file.
v1::ModelFile MakeModelFile(const v1::Manifest& manifest, const std::string& manifest_sha256,
                            const std::map<BatchId, BatchModel>& models, const std::vector<std::string>& notes);

// The models of a file that was read. Fails with InvalidArgument (another format or method, a broken study, no features, a
// parameter whose values are not rows x cols finite numbers, a batch or parameter that is repeated or has no name). What a
// method needs of its parameters, it checks when it applies them.
absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file);

// model.bundle: writes the parameters of each batch and returns its SHA-256.
absl::StatusOr<std::string> WriteModels(const std::string& path, const std::string& manifest_sha256,
                                        const std::map<BatchId, BatchModel>& models);

// The models of a file whose parameters lie in the bundle at `path`, which is mapped. Fails as ModelsOf and OpenBundle do, and
// with DataLoss when the bundle is not the one that the file names, or lacks a batch.
absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file, const std::string& path);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_MODEL_FILE_H_

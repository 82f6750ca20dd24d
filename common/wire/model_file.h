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

v1::ModelFile MakeModelFile(const v1::Manifest& manifest, const std::string& manifest_sha256,
                            const std::map<BatchId, BatchModel>& models, const std::vector<std::string>& notes);

// The models of a file that was read. Fails with InvalidArgument (another format or method, a broken study, no features, a
// parameter whose values are not rows x cols finite numbers, a batch or parameter that is repeated or has no name). What a
// method needs of its parameters, it checks when it applies them.
absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_MODEL_FILE_H_

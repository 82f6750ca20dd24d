// SPDX-License-Identifier: Apache-2.0
#include "common/wire/model_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/wire/bundle.h"
#include "common/wire/bundle_file.h"
#include "common/wire/manifest.h"
#include "common/wire/names.h"

namespace attune {
namespace {

absl::Status ModelFileError(absl::string_view what) {
  return Printable(absl::InvalidArgumentError(absl::StrCat("the model file ", what)));
}

absl::StatusOr<Blocks> ParametersOf(const v1::BatchParameters& batch) {
  Form form;
  for (const v1::Parameter& parameter : batch.parameters()) {
    const auto count = static_cast<std::uint64_t>(parameter.values_size());
    // Divided, not multiplied: the product of two hostile sides may overflow.
    const bool fits = parameter.rows() == 0 || parameter.cols() == 0
                          ? count == 0 && parameter.rows() <= INT32_MAX && parameter.cols() <= INT32_MAX
                          : count % parameter.rows() == 0 && count / parameter.rows() == parameter.cols();
    if (!fits) {
      return ModelFileError(absl::StrCat("has ", count, " values of '", parameter.name(), "' of batch '", batch.batch(),
                                         "', expected ", parameter.rows(), " x ", parameter.cols()));
    }
    form.push_back({.name = parameter.name(),
                    .kind = BlockKind::kSum,
                    .rows = static_cast<Eigen::Index>(parameter.rows()),
                    .cols = static_cast<Eigen::Index>(parameter.cols())});
  }
  const absl::string_view where = batch.batch();
  if (const auto size = CheckedSize(form, std::size_t{1} << 40); !size.ok()) {
    return ModelFileError(absl::StrCat("is broken at batch '", where, "': ", size.status().message()));
  }
  Blocks blocks = Blocks::Zero(std::move(form));
  for (const v1::Parameter& parameter : batch.parameters()) {
    std::copy(parameter.values().begin(), parameter.values().end(), blocks.Mutable(parameter.name()).data());
  }
  if (const absl::Status status = blocks.CheckFinite(); !status.ok()) {
    return ModelFileError(absl::StrCat("is broken at batch '", where, "': ", status.message()));
  }
  return blocks;
}

}  // namespace

v1::ModelFile MakeModelFile(const v1::Manifest& manifest, const std::string& manifest_sha256,
                            const std::map<BatchId, BatchModel>& models, const std::vector<std::string>& notes) {
  v1::ModelFile file;
  file.set_format(kModelFormat);
  file.set_software_version(kVersion);
  file.set_study(manifest.config().study());
  file.set_manifest_sha256(manifest_sha256);
  file.set_method(manifest.method());
  *file.mutable_config() = manifest.config();
  *file.mutable_features() = manifest.features();
  if (manifest.voxels() > 0) file.set_voxels(manifest.voxels());
  for (const DesignColumn& column : DesignColumns(CovariatesOf(manifest.config()))) file.add_design_columns(column.name);
  for (const auto& [id, model] : models) {
    v1::BatchParameters* batch = file.add_batches();
    batch->set_batch(id);
    for (const BlockSpec& spec : model.parameters.form()) {
      if (manifest.voxels() > 0) break;
      v1::Parameter* parameter = batch->add_parameters();
      parameter->set_name(spec.name);
      parameter->set_rows(static_cast<std::uint64_t>(spec.rows));
      parameter->set_cols(static_cast<std::uint64_t>(spec.cols));
      const auto values = model.parameters[spec.name];
      parameter->mutable_values()->Add(values.data(), values.data() + values.size());
    }
    for (const std::string& note : model.notes) batch->add_notes(note);
  }
  for (const std::string& note : notes) file.add_notes(note);
  return file;
}

namespace {

absl::Status CheckModelFile(const v1::ModelFile& file) {
  if (file.format() != kModelFormat) {
    return ModelFileError(absl::StrCat("has format version ", file.format(), ", this program reads version ", kModelFormat,
                                       "; use the release of Attune that wrote it (", file.software_version(), ")"));
  }
  if (const absl::Status status = CheckStudyConfig(file.config()); !status.ok()) {
    return ModelFileError(absl::StrCat("holds a broken study: ", status.message()));
  }
  if (file.method() != MethodIdOf(file.config()))
    return ModelFileError(absl::StrCat("is of the unknown method '", file.method(), "'"));
  if (file.features().empty() && file.voxels() == 0) return ModelFileError("has no features");
  if (!file.features().empty() && file.voxels() > 0) return ModelFileError("has features beside voxels");
  if (file.voxels() > kMostVoxels) return ModelFileError("has more voxels than an image can have");
  if (file.batches().empty()) return ModelFileError("has no batches");
  for (const v1::BatchParameters& batch : file.batches()) {
    if (!IsOneLine(batch.batch())) return ModelFileError("has a batch without a name");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file) {
  ATTUNE_RETURN_IF_ERROR(CheckModelFile(file));
  if (file.voxels() > 0) return ModelFileError("is of images: its parameters are in a bundle beside it");
  std::map<BatchId, BatchModel> models;
  for (const v1::BatchParameters& batch : file.batches()) {
    BatchModel model = {.batch = batch.batch(), .notes = {batch.notes().begin(), batch.notes().end()}};
    ATTUNE_ASSIGN_OR_RETURN(model.parameters, ParametersOf(batch));
    if (!models.emplace(batch.batch(), std::move(model)).second)
      return ModelFileError(absl::StrCat("has batch '", batch.batch(), "' twice"));
  }
  return models;
}

absl::StatusOr<std::string> WriteModels(const std::string& path, const std::string& manifest_sha256,
                                        const std::map<BatchId, BatchModel>& models) {
  v1::BundleHeader header;
  header.set_kind(v1::BUNDLE_KIND_MODEL);
  header.set_manifest_sha256(manifest_sha256);
  BlocksByName parts;
  for (const auto& [batch, model] : models) parts[batch] = &model.parameters;
  return WriteBundleFile(path, std::move(header), parts);
}

absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file, const std::string& path) {
  ATTUNE_RETURN_IF_ERROR(CheckModelFile(file));
  ATTUNE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
  if (sha256 != file.parameters().sha256()) {
    return absl::DataLossError(absl::StrCat("'", path, "' is not the bundle that the model file names, ",
                                            file.parameters().sha256(), ": copy both files again"));
  }
  ATTUNE_ASSIGN_OR_RETURN(Bundle bundle, OpenBundle(path, v1::BUNDLE_KIND_MODEL, {file.manifest_sha256(), 0, ""}));
  std::map<BatchId, BatchModel> models;
  for (const v1::BatchParameters& batch : file.batches()) {
    const auto part = bundle.parts.find(batch.batch());
    if (part == bundle.parts.end()) {
      return absl::DataLossError(absl::StrCat("'", path, "' has no parameters of batch '", batch.batch(), "'"));
    }
    models[batch.batch()] = {batch.batch(), std::move(part->second), {batch.notes().begin(), batch.notes().end()}};
  }
  return models;
}

}  // namespace attune

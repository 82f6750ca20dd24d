// SPDX-License-Identifier: Apache-2.0
#include "common/wire/model_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/wire/manifest.h"
#include "common/wire/names.h"

namespace attune {
namespace {

absl::Status Error(absl::string_view what) {
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
      return Error(absl::StrCat("has ", count, " values of '", parameter.name(), "' of batch '", batch.batch(), "', expected ",
                                parameter.rows(), " x ", parameter.cols()));
    }
    form.push_back({.name = parameter.name(),
                    .kind = BlockKind::kSum,
                    .rows = static_cast<Eigen::Index>(parameter.rows()),
                    .cols = static_cast<Eigen::Index>(parameter.cols())});
  }
  const absl::string_view where = batch.batch();
  if (const auto size = CheckedSize(form, std::size_t{1} << 40); !size.ok()) {
    return Error(absl::StrCat("is broken at batch '", where, "': ", size.status().message()));
  }
  Blocks blocks = Blocks::Zero(std::move(form));
  for (const v1::Parameter& parameter : batch.parameters()) {
    std::copy(parameter.values().begin(), parameter.values().end(), blocks.Mutable(parameter.name()).data());
  }
  if (const absl::Status status = blocks.CheckFinite(); !status.ok()) {
    return Error(absl::StrCat("is broken at batch '", where, "': ", status.message()));
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
  for (const DesignColumn& column : DesignColumns(CovariatesOf(manifest.config()))) file.add_design_columns(column.name);
  for (const auto& [id, model] : models) {
    v1::BatchParameters* batch = file.add_batches();
    batch->set_batch(id);
    for (const BlockSpec& spec : model.parameters.form()) {
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

absl::StatusOr<std::map<BatchId, BatchModel>> ModelsOf(const v1::ModelFile& file) {
  if (file.format() != kModelFormat) {
    return Error(absl::StrCat("has format version ", file.format(), ", this program reads version ", kModelFormat,
                              "; use the release of Attune that wrote it (", file.software_version(), ")"));
  }
  if (const absl::Status status = CheckStudyConfig(file.config()); !status.ok()) {
    return Error(absl::StrCat("holds a broken study: ", status.message()));
  }
  if (file.method() != MethodIdOf(file.config())) return Error(absl::StrCat("is of the unknown method '", file.method(), "'"));
  if (file.features().empty()) return Error("has no features");
  if (file.batches().empty()) return Error("has no batches");
  std::map<BatchId, BatchModel> models;
  for (const v1::BatchParameters& batch : file.batches()) {
    if (!IsOneLine(batch.batch())) return Error("has a batch without a name");
    BatchModel model = {.batch = batch.batch(), .notes = {batch.notes().begin(), batch.notes().end()}};
    ATTUNE_ASSIGN_OR_RETURN(model.parameters, ParametersOf(batch));
    if (!models.emplace(batch.batch(), std::move(model)).second)
      return Error(absl::StrCat("has batch '", batch.batch(), "' twice"));
  }
  return models;
}

}  // namespace attune

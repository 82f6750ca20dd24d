// SPDX-License-Identifier: Apache-2.0
//
// model.json, which one site may get from another.
#include "attune/v1/outputs.pb.h"
#include "common/wire/json.h"
#include "common/wire/model_file.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(model_file)(absl::string_view bytes) {
  v1::ModelFile file;
  const absl::Status parsed = FromJson(bytes, "model.json", &file);
  RequirePrintable(parsed);
  if (!parsed.ok()) return;
  const auto models = ModelsOf(file);
  RequirePrintable(models.status());
  if (!models.ok()) return;
  for (const auto& [batch, model] : *models) Require(model.parameters.CheckFinite().ok(), "finite parameters");
  v1::ModelFile again;
  Require(FromJson(ToJson(file), "again", &again).ok() && ModelsOf(again).ok(), "a model that was read can be written");
}

}  // namespace attune::fuzz

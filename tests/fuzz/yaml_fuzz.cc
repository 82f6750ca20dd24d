// SPDX-License-Identifier: Apache-2.0
//
// study.yaml and site.yaml.
#include "attune/v1/config.pb.h"
#include "common/wire/canonical.h"
#include "common/wire/manifest.h"
#include "common/wire/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(yaml)(absl::string_view bytes) {
  v1::StudyConfig study;
  const absl::Status parsed = ParseYaml(bytes, "study.yaml", &study);
  RequirePrintable(parsed);
  if (parsed.ok()) {
    RequirePrintable(CheckStudyConfig(study));
    v1::StudyConfig again;
    Require(ParseBytes(DeterministicBytes(study), &again), "what was read from YAML can be sent");
  }
  v1::SiteConfig site;
  RequirePrintable(ParseYaml(bytes, "site.yaml", &site));
}

}  // namespace attune::fuzz

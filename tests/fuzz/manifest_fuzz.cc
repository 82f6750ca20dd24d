// SPDX-License-Identifier: Apache-2.0
//
// The manifest, as a site receives it.
#include "common/base/digest.h"
#include "common/wire/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(manifest)(absl::string_view bytes) {
  const absl::StatusOr<v1::Manifest> manifest = ParseManifest(bytes);
  RequirePrintable(manifest.status());
  if (!manifest.ok()) return;
  Require(CanonicalBytes(*manifest) == bytes, "one manifest, one sequence of bytes");
  const StudyFacts facts = FactsOf(*manifest);
  std::size_t batches = 0;
  for (const v1::RosterSite& site : manifest->roster()) batches += BatchesOfSite(*manifest, site.site()).size();
  Require(batches == facts.batches.size(), "every batch belongs to one site");
}

}  // namespace attune::fuzz

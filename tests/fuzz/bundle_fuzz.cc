// SPDX-License-Identifier: Apache-2.0
//
// Questions, answers and corrections. The first byte says which kind is expected.
#include "common/base/digest.h"
#include "common/wire/bundle.h"
#include "common/wire/bundle_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

// Writes again what was understood of the bundle.
absl::StatusOr<std::string> WriteAgain(const std::string& path, const Bundle& bundle) {
  const v1::BundleHeader& header = bundle.header;
  const BundleBinding binding = {header.manifest_sha256(), header.round(), header.question_sha256()};
  switch (header.kind()) {
    case v1::BUNDLE_KIND_QUESTION: {
      const absl::StatusOr<Question> question = QuestionOf(bundle);
      return question.ok() ? WriteQuestion(path, binding, *question) : question.status();
    }
    case v1::BUNDLE_KIND_ANSWER:
      return WriteAnswer(path, binding, {bundle.parts.begin(), bundle.parts.end()});
    case v1::BUNDLE_KIND_CORRECTION_COMMON: {
      const absl::StatusOr<Correction> correction = CorrectionOf(bundle, nullptr);
      return correction.ok() ? WriteCorrectionCommon(path, binding, *correction) : correction.status();
    }
    default: {
      BlocksByName parts;
      for (const auto& [name, blocks] : bundle.parts) parts.emplace(name, &blocks);
      v1::BundleHeader without_parts = header;
      without_parts.clear_parts();
      return WriteBundleFile(path, without_parts, parts);
    }
  }
}

}  // namespace

ATTUNE_FUZZ_TARGET(bundle)(absl::string_view bytes) {
  static const testing::TempFolder folder;
  Input input(bytes);
  const auto kind = static_cast<v1::BundleKind>(1 + input.Byte() % 5);
  const std::string path = folder.Write("bundle", std::string(input.Rest()));
  const absl::StatusOr<Bundle> bundle = OpenBundle(path, kind, {"", 0, ""});
  RequirePrintable(bundle.status());
  if (!bundle.ok()) return;
  for (const auto& [name, blocks] : bundle->parts) Require(blocks.CheckFinite().ok(), "finite values");
  const absl::StatusOr<std::string> written = WriteAgain(folder / "again", *bundle);
  RequirePrintable(written.status());
  // A question may still ask for a form that cannot be.
  Require(written.ok() ? *written == Sha256Hex(input.Rest()) : kind == v1::BUNDLE_KIND_QUESTION,
          "one content, one sequence of bytes");
}

}  // namespace attune::fuzz

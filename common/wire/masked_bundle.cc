// SPDX-License-Identifier: Apache-2.0
#include "common/wire/masked_bundle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/wire/bundle_file.h"

namespace attune {
namespace {

v1::BundleHeader MaskedHeaderOf(v1::BundleKind kind, const BundleBinding& binding) {
  v1::BundleHeader header;
  header.set_kind(kind);
  header.set_manifest_sha256(binding.manifest_sha256);
  header.set_round(binding.round);
  header.set_question_sha256(binding.question_sha256);
  return header;
}

absl::Status CheckForm(const Form& found, const Form& form) {
  if (found == form) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("it has not the form that was asked for: ", DescribeDifference(found, form)));
}

absl::StatusOr<MaskedSum> Open(const std::string& path, const BundleBinding& binding, const Form& form) {
  ATTUNE_ASSIGN_OR_RETURN(BundleBytes bundle, ReadBundleBytes(path, MaxAnswerHeaderBytes(binding, form, {kSumPart})));
  v1::BundleHeader expected = MaskedHeaderOf(v1::BUNDLE_KIND_MASKED, binding);
  if (bundle.header.kind() != expected.kind() || bundle.header.manifest_sha256() != expected.manifest_sha256() ||
      bundle.header.round() != expected.round() || bundle.header.question_sha256() != expected.question_sha256()) {
    return absl::InvalidArgumentError("it is not a masked sum that answers this question of this study");
  }
  if (bundle.header.parts_size() != 1 || bundle.header.parts(0).name() != kSumPart || bundle.header.asked_size() > 0 ||
      bundle.header.notes_size() > 0 || bundle.header.parts(0).packed_size() > 0) {
    return absl::InvalidArgumentError(absl::StrCat("it holds something else than the one part '", kSumPart, "'"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Form found, FormFromProto(bundle.header.parts(0).form(), kMaxFormEntries));
  ATTUNE_RETURN_IF_ERROR(CheckForm(found, form));
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t size, CheckedSize(form, kMaxFormEntries));
  if (bundle.values.size() != size * sizeof(Word128)) {
    return absl::DataLossError(
        absl::StrCat("it has ", bundle.values.size(), " bytes of words, expected ", size * sizeof(Word128)));
  }
  return MaskedSum{{reinterpret_cast<const Word128*>(bundle.values.data()), size}, std::move(bundle.file)};
}

}  // namespace

absl::StatusOr<std::string> WriteMasked(const std::string& path, const BundleBinding& binding, const Form& form, int threads,
                                        absl::FunctionRef<absl::Status(std::uint64_t first, std::span<Word128> words)> fill) {
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t size, CheckedSize(form, kMaxFormEntries));
  v1::BundleHeader header = MaskedHeaderOf(v1::BUNDLE_KIND_MASKED, binding);
  v1::Part* part = header.add_parts();
  part->set_name(kSumPart);
  FormToProto(form, part->mutable_form());
  return WriteBundleBytes(path, header, [&](const ByteSink& sink) -> absl::Status {
    // As many tiles at once as there are threads, written in their order.
    const std::size_t at_once = kTileWords * static_cast<std::size_t>(std::max(threads, 1));
    std::vector<Word128> buffer(std::min(size, at_once));
    for (std::size_t first = 0; first < size; first += at_once) {
      const std::span<Word128> words = std::span(buffer).first(std::min(at_once, size - first));
      const std::size_t tiles = (words.size() + kTileWords - 1) / kTileWords;
      std::vector<absl::Status> filled(tiles);
      ParallelFor(tiles, threads, [&](std::size_t k) {
        const std::size_t begin = k * kTileWords;
        filled[k] = fill(first + begin, words.subspan(begin, std::min(kTileWords, words.size() - begin)));
      });
      for (const absl::Status& status : filled) ATTUNE_RETURN_IF_ERROR(status);
      sink({reinterpret_cast<const char*>(words.data()), words.size_bytes()});
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<MaskedSum> OpenMasked(const std::string& path, const BundleBinding& binding, const Form& form) {
  absl::StatusOr<MaskedSum> sum = Open(path, binding, form);
  if (!sum.ok()) return WithContext(sum.status(), absl::StrCat("bundle '", path, "'"));
  return sum;
}

absl::StatusOr<std::string> WriteSum(const std::string& path, const BundleBinding& binding, const Summary& sum,
                                     const std::vector<std::string>& sites) {
  v1::BundleHeader header = MaskedHeaderOf(v1::BUNDLE_KIND_SUM, binding);
  header.mutable_notes()->Add(sites.begin(), sites.end());
  return WriteBundleFile(path, std::move(header), {{kSumPart, &sum}});
}

absl::StatusOr<SumOfSites> OpenSum(const std::string& path, const BundleBinding& binding, const Form& form) {
  ATTUNE_ASSIGN_OR_RETURN(Bundle bundle, OpenBundle(path, v1::BUNDLE_KIND_SUM, binding));
  SumOfSites sum{std::move(bundle.parts.at(kSumPart)), {bundle.header.notes().begin(), bundle.header.notes().end()}};
  if (const absl::Status status = CheckForm(sum.sum.form(), form); !status.ok()) {
    return WithContext(status, absl::StrCat("bundle '", path, "'"));
  }
  if (sum.sites.empty() || !std::is_sorted(sum.sites.begin(), sum.sites.end())) {
    return absl::InvalidArgumentError(absl::StrCat("bundle '", path, "': it does not say, in order, of which sites it is"));
  }
  return sum;
}

}  // namespace attune

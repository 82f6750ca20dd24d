// SPDX-License-Identifier: Apache-2.0
#include "coordinator/seen.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/blocks.h"
#include "common/wire/masked_bundle.h"
#include "coordinator/round_outcome.h"
#include "coordinator/text_table.h"

namespace attune {
namespace {

std::string KindName(BlockKind kind) {
  return kind == BlockKind::kSum ? "sum" : kind == BlockKind::kCount ? "count" : "histogram";
}

// The blocks of a form; of single numbers among them, their value in `filled`, where there is one.
std::string DescribeBlocks(const Form& form, const Summary* filled) {
  std::vector<std::vector<std::string>> rows = {{"block", "kind", "numbers", "value"}};
  for (const BlockSpec& block : form) {
    const bool single = filled != nullptr && block.rows * block.cols == 1;
    rows.push_back({block.name, KindName(block.kind), absl::StrCat(block.rows * block.cols),
                    single ? FormatDouble((*filled)[block.name](0, 0)) : ""});
  }
  return FormatTable(rows, false);
}

absl::StatusOr<std::uint64_t> TotalBytes(const std::map<std::string, std::string>& messages, const BlobStore& blobs) {
  std::uint64_t bytes = 0;
  for (const auto& [site, sha256] : messages) {
    ATTUNE_ASSIGN_OR_RETURN(const std::uint64_t size, blobs.SizeOf(sha256));
    bytes += size;
  }
  return bytes;
}

absl::StatusOr<std::string> DescribeMaskedRound(const RoundRecord& round, const BundleBinding& binding, const Form& form,
                                                const BlobStore& blobs) {
  static constexpr const char* kWhat[] = {"",
                                          "public keys, signed by the sites",
                                          "shares of secrets, sealed for other sites: unreadable here",
                                          "masked sums: uniformly random words of 128 bits",
                                          "signatures on whose sums arrived",
                                          "shares that take the masks off the sum alone"};
  std::string text;
  for (const auto& [step, messages] : round.aggregation.messages) {
    ATTUNE_ASSIGN_OR_RETURN(const std::uint64_t bytes, TotalBytes(messages, blobs));
    absl::StrAppend(&text, "  from each of ", messages.size(), " sites: ", kWhat[static_cast<int>(step)], " (", bytes,
                    " bytes in all)\n");
  }
  if (!round.aggregation.IsOver()) return text;
  ATTUNE_ASSIGN_OR_RETURN(const std::string path, blobs.Verified(round.aggregation.sum_sha256));
  ATTUNE_ASSIGN_OR_RETURN(const SumOfSites sum, OpenSum(path, binding, form));
  absl::StrAppend(&text, "  in clear: one sum over ", sum.sites.size(), " sites, and of no site by itself:\n",
                  DescribeBlocks(form, &sum.sum));
  return text;
}

}  // namespace

absl::StatusOr<std::string> DescribeSeen(const StudyStatus& status, const BlobStore& blobs) {
  if (!status.started()) return absl::FailedPreconditionError(absl::StrCat("the study '", status.name, "' has not started"));
  std::string text = absl::StrCat("What the coordinator could see of the study '", status.name,
                                  "', beside names of sites, batches and features:\n");
  for (std::uint32_t r = 1; r <= status.round(); ++r) {
    const RoundRecord& round = status.rounds[r - 1];
    ATTUNE_ASSIGN_OR_RETURN(const Question question, LoadQuestion(blobs, round.question_sha256));
    absl::StrAppend(&text, "round ", r, "\n");
    if (status.masked) {
      ATTUNE_ASSIGN_OR_RETURN(
          const std::string described,
          DescribeMaskedRound(round, {status.manifest_sha256, r, round.question_sha256}, question.form, blobs));
      absl::StrAppend(&text, described);
      continue;
    }
    absl::StrAppend(&text, "  in clear, of each ", status.config.release() == v1::RELEASE_POOLED ? "site" : "batch", ", from ",
                    round.answers.size(), " sites:\n", DescribeBlocks(question.form, nullptr));
  }
  return text;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_MEMORY_SITE_DATA_H_
#define ATTUNE_TESTS_SUPPORT_MEMORY_SITE_DATA_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "site_agent/tables/site_data.h"
#include "tests/support/memory_cohort.h"

namespace attune::testing {

// A site's tables that never were on disk; the digest of their values stands for the files'.
class MemorySiteData : public SiteData {
 public:
  MemorySiteData(FeatureNames features, std::vector<Row> rows) : features_(std::move(features)), cohort_(std::move(rows)) {
    std::map<BatchId, BatchCount> counts;
    std::string text;
    for (const Row& row : cohort_.rows()) {
      BatchCount& count = counts[row.batch];
      count.batch = row.batch;
      ++count.subjects;
      count.fit += row.fit ? 1 : 0;
      absl::StrAppend(&text, row.id, " ", row.batch);
      for (const double value : row.covariates) absl::StrAppend(&text, " ", FormatDouble(value));
      for (const double value : row.values) absl::StrAppend(&text, " ", FormatDouble(value));
    }
    for (auto& [batch, count] : counts) batches_.push_back(count);
    v1::FileDigest digest;
    digest.set_file("participants.tsv");
    digest.set_sha256(Sha256Hex(text));
    inputs_.push_back(digest);
  }

  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    ++passes_;
    return cohort_.ForEach(visit);
  }
  // How often everybody was looked at.
  int passes() const { return passes_; }
  const FeatureNames& features() const override { return features_; }
  const std::vector<BatchCount>& batches() const override { return batches_; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::vector<std::string>& input_paths() const override { return input_paths_; }
  const std::vector<v1::FileDigest>& inputs() const override { return inputs_; }

  absl::StatusOr<TsvWriter> StageTable(
      const std::string& path, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply) const override {
    ATTUNE_ASSIGN_OR_RETURN(TsvWriter writer, TsvWriter::Create(path, FileAccess::kShared));
    std::vector<std::string> header = features_.names();
    header.insert(header.begin(), "participant_id");
    writer.WriteRow(header);
    const absl::Status applied = cohort_.ForEach([&](const Subject& subject) {
      std::vector<double> out(features_.size());
      ATTUNE_RETURN_IF_ERROR(apply(subject, out));
      std::vector<std::string> cells = {subject.id};
      for (const double value : out) cells.push_back(FormatDouble(value));
      writer.WriteRow(cells);
      return absl::OkStatus();
    });
    ATTUNE_RETURN_IF_ERROR(applied);
    return writer;
  }

 private:
  FeatureNames features_;
  MemoryCohort cohort_;
  mutable int passes_ = 0;
  std::vector<BatchCount> batches_;
  std::vector<std::string> notes_;
  std::vector<std::string> input_paths_;
  std::vector<v1::FileDigest> inputs_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_MEMORY_SITE_DATA_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SITE_AGENT_TABLES_SITE_DATA_FIXTURE_H_
#define ATTUNE_TESTS_SITE_AGENT_TABLES_SITE_DATA_FIXTURE_H_

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "site_agent/tables/site_data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {

inline constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

// A site of three people on two scanners, that each test changes in one way.
class SiteDataTest : public ::testing::Test {
 protected:
  SiteDataTest() {
    site_ = Parse<v1::SiteConfig>(R"(participants: "participants.tsv" features: "features.tsv")");
    study_ = Parse<v1::StudyConfig>(R"(
      study: "s" batch: "scanner"
      covariates { name: "age" type: COVARIATE_TYPE_CONTINUOUS unit: "years" }
      covariates { name: "sex" type: COVARIATE_TYPE_CATEGORICAL levels: "F" levels: "M" }
      method { combat {} })");
    options_ = {.site = "north", .folder = folder_.path()};
    Participants("participant_id\tscanner\tage\tsex\nsub-2\tA\t20\tM\nsub-1\tA\t10.5\tF\nsub-3\tB\t30\tF\n");
    Features("participant_id\tx\ty\nsub-1\t1.10\t2\nsub-2\t3\t4\nsub-3\t5\t6\n");
  }

  template <typename Message>
  static Message Parse(const std::string& text) {
    Message message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
    return message;
  }

  void Participants(const std::string& bytes) { folder_.Write("participants.tsv", bytes); }
  void Features(const std::string& bytes) { folder_.Write("features.tsv", bytes); }
  void Patterns(const std::vector<std::string>& columns) {
    study_.mutable_features()->mutable_table()->mutable_columns()->Assign(columns.begin(), columns.end());
  }
  // Adds an entry of site.yaml's `columns`.
  void Map(const std::string& text) { *site_.add_columns() = Parse<v1::ColumnMapping>(text); }
  void FitOn(const std::string& column, const std::string& value) {
    (*study_.mutable_method()->mutable_combat()->mutable_fit_on())[column] = value;
  }
  void AllowMissing() { study_.mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_ALLOW); }

  absl::StatusOr<std::unique_ptr<SiteData>> Open() { return SiteData::Open(site_, study_, options_); }
  absl::Status Error() { return Open().status(); }

  // "id batch fit | covariates | values" of every subject, in order.
  static std::vector<std::string> Subjects(const SiteData& data) {
    std::vector<std::string> lines;
    EXPECT_OK(data.ForEach([&](const Subject& subject) {
      EXPECT_EQ(subject.person, subject.id);
      lines.push_back(absl::StrCat(subject.id, " ", subject.batch, subject.fit ? " fit" : "", " | ",
                                   absl::StrJoin(subject.covariates, " "), " | ", absl::StrJoin(subject.values, " ")));
      return absl::OkStatus();
    }));
    return lines;
  }

  static std::vector<std::string> Counts(const SiteData& data) {
    std::vector<std::string> lines;
    for (const BatchCount& count : data.batches()) {
      lines.push_back(absl::StrCat(count.batch, " ", count.subjects, " ", count.fit, " ", count.excluded));
    }
    return lines;
  }

  // Stages the table and puts it into its place.
  absl::Status Write(const SiteData& data, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply) {
    absl::StatusOr<TsvWriter> staged = data.StageTable(folder_ / "out.tsv", apply);
    return staged.ok() ? (*std::move(staged)).Commit() : staged.status();
  }

  // The table when `apply` adds 0.1 to every feature.
  std::string Written(const SiteData& data, double added = 0.1) {
    EXPECT_OK(Write(data, [&](const Subject& subject, std::span<double> out) {
      for (std::size_t f = 0; f < out.size(); ++f) out[f] = subject.values[f] + added;
      return absl::OkStatus();
    }));
    return folder_.Read("out.tsv");
  }

  const testing::TempFolder folder_;
  v1::SiteConfig site_;
  v1::StudyConfig study_;
  SiteDataOptions options_;
};

}  // namespace attune

#endif  // ATTUNE_TESTS_SITE_AGENT_TABLES_SITE_DATA_FIXTURE_H_

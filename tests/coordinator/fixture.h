// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_COORDINATOR_FIXTURE_H_
#define ATTUNE_TESTS_COORDINATOR_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/kernel/fold.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/desk.h"
#include "tests/support/fake_method.h"
#include "tests/support/memory_cohort.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

// A desk over a real journal and real blobs in a folder of its own, and what its sites would do.
class DeskTest : public ::testing::Test {
 public:
  void SetUp() override {
    Reopen();
    ASSERT_NE(desk_, nullptr);
  }

  // As a coordinator that was killed and started again.
  void Reopen() {
    desk_.reset();
    blobs_.reset();
    journal_.reset();
    ASSERT_OK_AND_ASSIGN(journal_, Journal::Open(folder_ / "journal.sqlite", true));
    ASSERT_OK_AND_ASSIGN(BlobStore blobs, BlobStore::Open(folder_ / "blobs"));
    blobs_.emplace(std::move(blobs));
    desk_ = std::make_unique<Desk>("net", journal_.get(), *blobs_, [this](absl::string_view) { return method_; });
  }

  v1::StudyConfig Config(const std::string& extra = "") {
    const std::string path = folder_.Write("study.yaml", absl::StrCat(R"(
study: demo
batch: scanner
method: {combat: {}}
)",
                                                                      extra));
    absl::StatusOr<v1::StudyConfig> config = ReadStudyFile(path);
    EXPECT_OK(config);
    return config.ok() ? *config : v1::StudyConfig();
  }

  static v1::RegisterRequest Registration(const std::vector<std::string>& batches,
                                          const std::vector<std::string>& features = {"a", "b"}) {
    v1::RegisterRequest request;
    request.set_study("demo");
    for (const std::string& batch : batches) request.add_batches(batch);
    for (const std::string& feature : features) request.add_features(feature);
    return request;
  }

  // Creates the study, registers two sites (north with two scanners, south with one), and starts.
  void StartDemo(const std::string& extra = "", bool plain_sums = false) {
    ASSERT_OK(desk_->CreateStudy(Config(extra), plain_sums));
    ASSERT_OK(desk_->Register("south", Registration({"s1"})));
    ASSERT_OK(desk_->Register("north", Registration({"n1", "n2"}, {"b", "a"})));
    ASSERT_OK_AND_ASSIGN(manifest_sha256_, desk_->StartStudy("demo"));
  }

  v1::NextRequest NextOf() const {
    v1::NextRequest request;
    request.set_study("demo");
    request.set_manifest_sha256(manifest_sha256_);
    return request;
  }

  v1::FetchRequest FetchOf(const std::string& sha256) const {
    v1::FetchRequest request;
    request.set_study("demo");
    request.set_manifest_sha256(manifest_sha256_);
    request.set_sha256(sha256);
    return request;
  }

  v1::ReportRequest ReportOf(v1::SiteState state) const {
    v1::ReportRequest request;
    request.set_study("demo");
    request.set_manifest_sha256(manifest_sha256_);
    request.set_state(state);
    return request;
  }

  // What a site of this name would answer to the current question: two subjects of each batch, values by `shift`.
  struct Upload {
    v1::UploadHeader header;
    std::string bytes;
  };
  Upload AnswerOf(const std::string& site, double shift = 0) {
    Upload upload;
    [&] {
      ASSERT_OK_AND_ASSIGN(const StudyStatus status, desk_->Status("demo"));
      ASSERT_OK_AND_ASSIGN(const std::string manifest_bytes, ReadFile(blobs_->PathOf(status.manifest_sha256)));
      ASSERT_OK_AND_ASSIGN(const v1::Manifest manifest, ParseManifest(manifest_bytes));
      const std::string& question_sha256 = status.rounds.back().question_sha256;
      ASSERT_OK_AND_ASSIGN(const Bundle bundle,
                           OpenBundle(blobs_->PathOf(question_sha256), v1::BUNDLE_KIND_QUESTION, {"", 0, ""}));
      ASSERT_OK_AND_ASSIGN(const Question question, QuestionOf(bundle));
      std::vector<Row> rows;
      double value = static_cast<double>(site.size()) + shift;
      for (const BatchId& batch : BatchesOfSite(manifest, site)) {
        for (int i = 0; i < 2; ++i, value += 0.3) rows.push_back({absl::StrCat(batch, i), batch, {}, {value, value * value}});
      }
      ASSERT_OK_AND_ASSIGN(auto filled, AnswerQuestion(*method_, FactsOf(manifest), question, BatchesOfSite(manifest, site),
                                                       MemoryCohort(rows), {}, 1));
      if (ReleaseOf(manifest.config()) == Release::kPooled) {
        ASSERT_OK_AND_ASSIGN(Summary sum, SumOf(question.form, filled));
        filled = {{kSumPart, std::move(sum)}};
      }
      upload = UploadOf({status.manifest_sha256, question.round, question_sha256}, filled);
    }();
    return upload;
  }

  Upload UploadOf(const BundleBinding& binding, const std::map<std::string, Summary>& parts) {
    Upload upload;
    const absl::StatusOr<std::string> sha256 = WriteAnswer(folder_ / "answer", binding, parts);
    EXPECT_OK(sha256);
    upload.bytes = folder_.Read("answer");
    upload.header.set_study("demo");
    upload.header.set_manifest_sha256(manifest_sha256_);
    upload.header.set_round(binding.round);
    upload.header.mutable_bundle()->set_sha256(Sha256Hex(upload.bytes));
    upload.header.mutable_bundle()->set_size(upload.bytes.size());
    return upload;
  }

  absl::Status Keep(const std::string& site, const Upload& upload) {
    v1::Chunk chunk;
    const std::size_t half = upload.bytes.size() / 2;
    chunk.set_data(upload.bytes.substr(0, half));
    if (absl::Status kept = desk_->Append(site, upload.header, chunk); !kept.ok()) return kept;
    chunk.set_offset(half);
    chunk.set_data(upload.bytes.substr(half));
    return desk_->Append(site, upload.header, chunk);
  }

  absl::Status Submit(const std::string& site, const Upload& upload) {
    if (absl::Status kept = Keep(site, upload); !kept.ok()) return kept;
    return desk_->FinishUpload(site, upload.header).status();
  }

  void AnswerBothRounds(const std::vector<std::string>& order) {
    for (int round = 0; round < 2; ++round) {
      for (const std::string& site : order) ASSERT_OK(Submit(site, AnswerOf(site)));
    }
  }

  StudyStatus Status() {
    absl::StatusOr<StudyStatus> status = desk_->Status("demo");
    EXPECT_OK(status);
    return status.ok() ? *std::move(status) : StudyStatus();
  }

  TempFolder folder_;
  FakeMethod fake_;
  const Method* method_ = &fake_;
  std::unique_ptr<Journal> journal_;
  std::optional<BlobStore> blobs_;
  std::unique_ptr<Desk> desk_;
  std::string manifest_sha256_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_COORDINATOR_FIXTURE_H_

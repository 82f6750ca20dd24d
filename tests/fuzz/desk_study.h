// SPDX-License-Identifier: Apache-2.0
//
// A coordinator's desk with a started study of two sites, and what its sites would truly answer.
#ifndef ATTUNE_TESTS_FUZZ_DESK_STUDY_H_
#define ATTUNE_TESTS_FUZZ_DESK_STUDY_H_

#include <spdlog/spdlog.h>

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
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_method.h"
#include "tests/support/memory_cohort.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {

inline constexpr char kStudy[] = "demo";

struct DeskStudy {
  DeskStudy() {
    spdlog::set_level(spdlog::level::off);
    OpenDesk();
    const std::string path = folder.Write("study.yaml", "study: demo\nbatch: scanner\nmethod: {combat: {}}\n");
    Require(desk->CreateStudy(*ReadStudyFile(path), false).ok(), "the study can be created");
    for (const char* site : {"north", "south"}) {
      v1::RegisterRequest request;
      request.set_study(kStudy);
      request.add_batches("s1");
      for (const char* feature : {"a", "b"}) request.add_features(feature);
      Require(desk->Register(site, request).ok(), "a site can register");
    }
    manifest_sha256 = *desk->StartStudy(kStudy);
  }

  // As after a restart.
  void OpenDesk() {
    desk.reset();
    journal.reset();
    journal = *Journal::Open(folder / "state.sqlite", true);
    blobs.emplace(*BlobStore::Open(folder / "blobs"));
    desk = std::make_unique<Desk>("net", journal.get(), *blobs, [this](absl::string_view) { return &method; });
  }

  struct Upload {
    v1::UploadHeader header;
    std::string bytes;
  };
  Upload UploadOf(std::uint32_t round, std::string bytes) const {
    Upload upload;
    upload.header.set_study(kStudy);
    upload.header.set_manifest_sha256(manifest_sha256);
    upload.header.set_round(round);
    upload.header.mutable_bundle()->set_sha256(Sha256Hex(bytes));
    upload.header.mutable_bundle()->set_size(bytes.size());
    upload.bytes = std::move(bytes);
    return upload;
  }

  // The site's answer to the question that was asked last.
  Upload AnswerOf(const std::string& site) const {
    const StudyStatus status = *desk->Status(kStudy);
    const v1::Manifest manifest = *ParseManifest(*ReadFile(blobs->PathOf(status.manifest_sha256)));
    const std::string& question_sha256 = status.rounds.back().question_sha256;
    const Question question = *QuestionOf(*OpenBundle(blobs->PathOf(question_sha256), v1::BUNDLE_KIND_QUESTION, {"", 0, ""}));
    const std::vector<BatchId> batches = BatchesOfSite(manifest, site);
    if (batches.empty()) return UploadOf(question.round, "");
    const testing::MemoryCohort people({{"p1", batches[0], {}, {1, 2}}, {"p2", batches[0], {}, {3, 5}}});
    const auto filled = AnswerQuestion(method, FactsOf(manifest), question, batches, people, {}, 1);
    Require(WriteAnswer(folder / "answer", {status.manifest_sha256, question.round, question_sha256}, *filled).ok(),
            "an answer can be written");
    return UploadOf(question.round, folder.Read("answer"));
  }

  // What must hold whatever was sent.
  void CheckRecord() {
    Require(journal->VerifyChain().ok(), "the journal's chain holds");
    const absl::StatusOr<StudyStatus> before = desk->Status(kStudy);
    OpenDesk();
    const absl::StatusOr<StudyStatus> after = desk->Status(kStudy);
    Require(before.ok() && after.ok() && before->state == after->state && before->round() == after->round() &&
                before->reports == after->reports,
            "a desk that starts anew goes on where the last one was");
    Require(after->manifest_sha256 == manifest_sha256, "the manifest stays");
    for (const RoundRecord& round : after->rounds) {
      for (const auto& [site, sha256] : round.answers) Require(blobs->Verified(sha256).ok(), "what is recorded is kept");
    }
  }

  const testing::TempFolder folder;
  const testing::FakeMethod method;
  std::unique_ptr<Journal> journal;
  std::optional<BlobStore> blobs;
  std::unique_ptr<Desk> desk;
  std::string manifest_sha256;
};

}  // namespace attune::fuzz

#endif  // ATTUNE_TESTS_FUZZ_DESK_STUDY_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_FAKE_COURIER_H_
#define ATTUNE_TESTS_SUPPORT_FAKE_COURIER_H_

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/kernel/fold.h"
#include "common/transport/courier.h"
#include "common/wire/bundle.h"

namespace attune::testing {

// A coordinator in this process, and all other sites with it: it asks the method's questions, adds the one site's answer to the
// rows of the others, and hands out the correction. What it says can be bent and what it does can be broken, to see what the
// site does.
class FakeCourier : public Courier {
 public:
  // `folder`: for bundles. `others`: the cohort of every site but `site`.
  FakeCourier(const Method& method, StudyFacts facts, std::string manifest_sha256, std::string site, const Cohort& others,
              std::string folder)
      : method_(method),
        facts_(std::move(facts)),
        manifest_sha256_(std::move(manifest_sha256)),
        site_(std::move(site)),
        others_(others),
        folder_(std::move(folder)) {
    question = *method_.Begin(facts_);
  }

  absl::Status Register(const v1::RegisterRequest&) override { return absl::OkStatus(); }

  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string&) override {
    return absl::UnimplementedError("not asked for here");
  }

  absl::StatusOr<v1::NextReply> Next(const v1::NextRequest&) override {
    ATTUNE_RETURN_IF_ERROR(Break("next"));
    v1::NextReply reply;
    reply.set_manifest_sha256(manifest_sha256_);
    if (next != nullptr) {
      ATTUNE_ASSIGN_OR_RETURN(const v1::NextReply instead, next());
      reply.MergeFrom(instead);
      return reply;
    }
    reply.set_round(question.round);
    if (correction.has_value()) {
      reply.set_task(harmonized ? v1::NextReply::TASK_DONE : v1::NextReply::TASK_CORRECT);
      const BundleBinding binding{manifest_sha256_, question.round, question_sha256_};
      ATTUNE_RETURN_IF_ERROR(WriteCorrectionCommon(Path("common"), binding, *correction).status());
      ATTUNE_RETURN_IF_ERROR(AddBundle("common", &reply));
      if (facts_.release == Release::kPerBatch) {
        ATTUNE_RETURN_IF_ERROR(WriteCorrectionSite(Path("site"), binding, *correction, site_).status());
        ATTUNE_RETURN_IF_ERROR(AddBundle("site", &reply));
      }
      return reply;
    }
    reply.set_task(v1::NextReply::TASK_ANSWER);
    const BundleBinding binding{manifest_sha256_, question.round, ""};
    ATTUNE_ASSIGN_OR_RETURN(question_sha256_, WriteQuestion(Path("question"), binding, question));
    ATTUNE_RETURN_IF_ERROR(AddBundle("question", &reply));
    return reply;
  }

  absl::Status Submit(const v1::UploadHeader& header, const std::string& path) override {
    ATTUNE_RETURN_IF_ERROR(Break("submit"));
    ATTUNE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
    if (sha256 != header.bundle().sha256()) return absl::DataLossError("the answer is not what its digest says");
    submitted[header.round()].push_back(sha256);
    if (header.round() == question.round && !correction.has_value()) ATTUNE_RETURN_IF_ERROR(Advance(path));
    return Break("submitted");
  }

  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t, const std::string& path) override {
    ATTUNE_RETURN_IF_ERROR(Break("fetch"));
    std::filesystem::copy_file(Path(by_digest_.at(request.sha256())), path, std::filesystem::copy_options::overwrite_existing);
    return absl::OkStatus();
  }

  absl::Status Report(const v1::ReportRequest& request) override {
    ATTUNE_RETURN_IF_ERROR(Break("report"));
    reports.push_back(request.state());
    harmonized |= request.state() == v1::SITE_STATE_HARMONIZED;
    return absl::OkStatus();
  }

  // Fails the next call of this name ("submitted": after it took effect) with Unavailable.
  std::string break_at;
  // What Next says instead.
  std::function<absl::StatusOr<v1::NextReply>()> next;
  std::map<std::uint32_t, std::vector<std::string>> submitted;  // digests by round
  std::vector<v1::SiteState> reports;
  Question question;  // the one that is asked now
  std::optional<Correction> correction;
  bool harmonized = false;

 private:
  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  absl::Status Break(const std::string& name) {
    if (break_at != name) return absl::OkStatus();
    break_at.clear();
    return absl::UnavailableError(absl::StrCat("broken at ", name));
  }

  absl::Status AddBundle(const std::string& name, v1::NextReply* reply) {
    v1::BundleRef* ref = reply->add_bundles();
    ATTUNE_ASSIGN_OR_RETURN(*ref->mutable_sha256(), Sha256OfFile(Path(name)));
    ref->set_size(std::filesystem::file_size(Path(name)));
    by_digest_[ref->sha256()] = name;
    return absl::OkStatus();
  }

  absl::Status Advance(const std::string& answer) {
    const BundleBinding binding{manifest_sha256_, question.round, question_sha256_};
    ATTUNE_ASSIGN_OR_RETURN(const Bundle bundle, OpenBundle(answer, v1::BUNDLE_KIND_ANSWER, binding));
    std::vector<BatchId> batches;
    for (const BatchId& batch : facts_.batches) {
      if (SiteOf(batch) != site_) batches.push_back(batch);
    }
    ATTUNE_ASSIGN_OR_RETURN(auto all, AnswerQuestion(method_, facts_, question, batches, others_, states_, 1));
    for (const auto& [batch, summary] : all) states_[batch].earlier.push_back(summary);
    // Under "pooled" the site's sum comes in as one batch of the site.
    for (const auto& [part, summary] : bundle.parts) all[part == kSumPart ? MakeBatchId(site_, part) : part] = summary;
    ATTUNE_ASSIGN_OR_RETURN(const Answers answers, AddUp(question.form, facts_.release, all));
    ATTUNE_ASSIGN_OR_RETURN(auto outcome, method_.Next(facts_, question, answers));
    if (std::holds_alternative<Correction>(outcome)) {
      correction = std::get<Correction>(std::move(outcome));
    } else {
      question = std::get<Question>(std::move(outcome));
    }
    return absl::OkStatus();
  }

  const Method& method_;
  const StudyFacts facts_;
  const std::string manifest_sha256_;
  const std::string site_;
  const Cohort& others_;
  const std::string folder_;
  std::map<BatchId, SiteState> states_;
  std::map<std::string, std::string> by_digest_;  // digest to file
  std::string question_sha256_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_FAKE_COURIER_H_

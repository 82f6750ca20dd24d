// SPDX-License-Identifier: Apache-2.0
//
// A whole study under secure aggregation in this process: the real desk, the real agents, each with a key and a folder of its
// own, and a courier between them whose calls can be broken and whose replies can be bent.
#ifndef ATTUNE_TESTS_SUPPORT_MASKED_CONSORTIUM_H_
#define ATTUNE_TESTS_SUPPORT_MASKED_CONSORTIUM_H_

#include <spdlog/spdlog.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/methods/registry.h"
#include "common/security/certificates.h"
#include "common/storage/journal.h"
#include "common/wire/manifest.h"
#include "coordinator/desk.h"
#include "site_agent/agent.h"
#include "tests/support/memory_site_data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

// The calls of one site, straight to the desk.
class DeskCourier : public Courier {
 public:
  DeskCourier(std::function<Desk&()> desk, std::string site) : desk_(std::move(desk)), site_(std::move(site)) {}

  // Asked before each call ("next", "submit-3", "fetch", "report"): what is not OK takes the call's place.
  std::function<absl::Status(const std::string& call)> before = [](const std::string&) { return absl::OkStatus(); };
  // Changes what Next says.
  std::function<void(v1::NextReply&)> bend = [](v1::NextReply&) {};
  // The bytes that Fetch writes instead of those of the desk, by digest.
  std::map<std::string, std::string> forged;

  absl::Status Register(const v1::RegisterRequest& request) override { return desk_().Register(site_, request); }
  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) override { return desk_().GetStudy(site_, study); }

  absl::StatusOr<v1::NextReply> Next(const v1::NextRequest& request) override {
    if (absl::Status status = before("next"); !status.ok()) return status;
    absl::StatusOr<v1::NextReply> reply = desk_().Next(site_, request);
    if (reply.ok()) bend(*reply);
    return reply;
  }

  absl::Status Submit(const v1::UploadHeader& header, const std::string& path) override {
    if (absl::Status s = before(absl::StrCat("submit-", static_cast<int>(header.step()))); !s.ok()) return s;
    absl::StatusOr<v1::UploadState> state = desk_().GetUpload(site_, header);
    if (!state.ok()) return state.status();
    if (state->recorded()) return absl::OkStatus();
    const std::string bytes = ReadFile(path).value();
    v1::Chunk chunk;
    for (std::size_t at = state->received(); at < bytes.size(); at += chunk.data().size()) {
      chunk.set_offset(at);
      chunk.set_data(bytes.substr(at, 256 << 10));
      if (absl::Status kept = desk_().Append(site_, header, chunk); !kept.ok()) return kept;
    }
    return desk_().FinishUpload(site_, header).status();
  }

  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t, const std::string& path) override {
    if (absl::Status status = before("fetch"); !status.ok()) return status;
    if (const auto found = forged.find(request.sha256()); found != forged.end()) {
      return WriteFileAtomically(path, found->second, FileAccess::kOwnerOnly);
    }
    absl::StatusOr<BundleFile> bundle = desk_().BundlePath(site_, request);
    if (!bundle.ok()) return bundle.status();
    return WriteFileAtomically(path, ReadFile(bundle->path).value(), FileAccess::kOwnerOnly);
  }

  absl::Status Report(const v1::ReportRequest& request) override {
    if (absl::Status status = before("report"); !status.ok()) return status;
    return desk_().Report(site_, request);
  }

 private:
  const std::function<Desk&()> desk_;
  const std::string site_;
};

class MaskedConsortium {
 public:
  explicit MaskedConsortium(int sites, v1::Release release = v1::RELEASE_POOLED, const std::string& reference_batch = "") {
    spdlog::set_level(spdlog::level::off);
    authority_ = MakeAuthority("c").value();
    OpenDesk();
    v1::StudyConfig config;
    config.set_study("s");
    config.mutable_features()->mutable_table()->add_columns("*");
    v1::CovariateConfig& age = *config.add_covariates();
    age.set_name("age");
    age.set_type(v1::COVARIATE_TYPE_CONTINUOUS);
    config.mutable_method()->mutable_combat()->set_prior(v1::PRIOR_PARAMETRIC);
    config.mutable_method()->mutable_combat()->set_reference_batch(reference_batch);
    config.set_release(release);
    config.set_min_batch_size(10);
    config.set_deadline_hours(1);
    EXPECT_OK(desk().CreateStudy(config, false));
    for (int k = 0; k < sites; ++k) AddSite(k);
    manifest_sha256 = desk().StartStudy("s").value();
    for (auto& [name, site] : sites_) Approve(name, site);
  }

  struct Site {
    aggregation::Signer signer;
    std::vector<Row> rows;
    std::unique_ptr<Home> home;
    std::unique_ptr<SiteStudy> study;
    std::unique_ptr<SiteTables> tables;
    std::unique_ptr<DeskCourier> courier;
    bool done = false;
  };

  Desk& desk() { return *desk_; }
  Site& site(const std::string& name) { return sites_.at(name); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, site] : sites_) names.push_back(name);
    return names;
  }
  StudyStatus status() { return desk_->Status("s").value(); }
  // The present round's; a copy that the next call replaces.
  AggregationRecord& record() {
    last_status_ = status();
    return last_status_.rounds.back().aggregation;
  }

  // As a coordinator that was killed and started again.
  void OpenDesk() {
    desk_.reset();
    journal_.reset();
    journal_ = Journal::Open(temp / "journal.sqlite", true).value();
    blobs_.emplace(BlobStore::Open(temp / "blobs").value());
    desk_ = std::make_unique<Desk>(
        "c", journal_.get(), *blobs_, FindMethod,
        DeskOptions{.authority_pem = authority_.certificate_pem, .now = [this] { return absl::Now() + clock_offset_; }});
  }

  std::string Out(const std::string& name) const { return temp / absl::StrCat("out-", name); }
  std::string Harmonized(const std::string& name) const {
    return ReadFile(Out(name) + "/desc-harmonized_features.tsv").value_or("");
  }

  // The site's agent until it has nothing to do.
  absl::Status Run(const std::string& name) {
    Site& site = sites_.at(name);
    const absl::Status status =
        RunStudy(*site.study, *site.tables, {.out = Out(name), .signer = site.signer, .wait_limit = absl::ZeroDuration()},
                 site.courier.get());
    site.done = status.ok();
    return status;
  }

  // All but `without`, in turn, until all are done; the first error that is not "nothing to do now", or what they still wait
  // for.
  absl::Status RunAll(const std::set<std::string>& without = {}) {
    absl::Status last;
    for (int turn = 0; turn < 40; ++turn) {
      bool all_done = true;
      for (auto& [name, site] : sites_) {
        if (site.done || without.count(name) > 0) continue;
        last = Run(name);
        if (!last.ok() && !absl::IsUnavailable(last))
          return absl::Status(last.code(), absl::StrCat(name, ": ", last.message()));
        all_done &= last.ok();
      }
      if (all_done) return absl::OkStatus();
    }
    return last;
  }

  // Everybody of `who` runs until the present attempt is at `step`.
  void RunUntil(v1::AggregationStep step, const std::set<std::string>& without = {}) {
    for (int turn = 0; turn < 20 && record().step != step; ++turn) {
      for (auto& [name, site] : sites_) {
        if (record().step == step) break;
        if (without.count(name) > 0) continue;
        // One step a turn: what comes next breaks off.
        bool submitted = false;
        site.courier->before = [&submitted](const std::string& call) {
          if (call == "next" && submitted) return absl::UnavailableError("enough");
          if (call.rfind("submit", 0) == 0) submitted = true;
          return absl::OkStatus();
        };
        EXPECT_THAT(Run(name), ::testing::Not(IsOk()));
        site.courier->before = [](const std::string&) { return absl::OkStatus(); };
      }
    }
    EXPECT_EQ(record().step, step);
  }

  // The present step's time is up, and somebody asks what is next.
  void Expire() {
    clock_offset_ = absl::Hours(2);
    v1::NextRequest request;
    request.set_study("s");
    request.set_manifest_sha256(manifest_sha256);
    EXPECT_OK(desk().Next(sites_.begin()->first, request));
    clock_offset_ = absl::ZeroDuration();
  }

  TempFolder temp;
  std::string manifest_sha256;

 private:
  void AddSite(int k) {
    const std::string name = absl::StrCat("site", k);
    Site& site = sites_[name];
    const KeyAndRequest own = MakeKeyAndRequest(name).value();
    site.signer.key_pem = own.key_pem;
    site.signer.certificate_pem = SignSiteRequest(authority_, own.request_pem, SiteUri("c", name), 30).value();
    for (int i = 0; i < 12 + k; ++i) {
      Row row{.id = absl::StrCat("sub-", name, 100 + i), .batch = MakeBatchId(name, kOnlyBatchLabel)};
      row.covariates = {20.0 + 3 * ((i * 7 + k) % 12)};
      for (int f = 0; f < 12; ++f)
        row.values.push_back(5 * f + 0.1 * row.covariates[0] + k + std::sin(i * (f + 2) + k) * (1 + 0.3 * k));
      site.rows.push_back(row);
    }
    site.courier = std::make_unique<DeskCourier>([this]() -> Desk& { return *desk_; }, name);
    v1::RegisterRequest request;
    request.set_study("s");
    request.add_batches(kOnlyBatchLabel);
    for (int f = 0; f < 12; ++f) request.add_features(absl::StrCat("f", 10 + f));
    request.set_certificate_pem(site.signer.certificate_pem);
    EXPECT_OK(site.courier->Register(request));
  }

  void Approve(const std::string& name, Site& site) {
    site.home = std::make_unique<Home>(temp / name);
    const StudyFolder folder = *site.home->Study("s");
    EXPECT_OK(WriteFileAtomically(
        site.home->PolicyPath(),
        "studies: \"*\"\nmethods: \"*\"\ncovariates: \"*\"\nfeatures: \"*\"\nrelease: per_batch\nmin_sites: 3\n",
        FileAccess::kOwnerOnly));
    const v1::GetStudyReply reply = site.courier->GetStudy("s").value();
    v1::Approval approval;
    approval.set_manifest_sha256(Sha256Hex(reply.manifest()));
    EXPECT_OK(folder.Approve(reply.manifest(), approval));
    site.study = std::make_unique<SiteStudy>(MakeSiteStudy(*site.home, name, *folder.ReadManifest()).value());
    site.tables = std::make_unique<SiteTables>();
    site.tables->data = std::make_unique<MemorySiteData>(site.study->facts.features, site.rows);
    site.tables->inputs = site.tables->data->inputs();
  }

  KeyAndCertificate authority_;
  absl::Duration clock_offset_;
  std::unique_ptr<Journal> journal_;
  std::optional<BlobStore> blobs_;
  std::unique_ptr<Desk> desk_;
  std::map<std::string, Site> sites_;
  StudyStatus last_status_;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_MASKED_CONSORTIUM_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SITE_AGENT_STUDY_FIXTURE_H_
#define ATTUNE_TESTS_SITE_AGENT_STUDY_FIXTURE_H_

#include <spdlog/spdlog.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/wire/manifest.h"
#include "site_agent/agent.h"
#include "tests/support/fake_courier.h"
#include "tests/support/memory_site_data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

inline constexpr int kFeatures = 3;

// Two scanners, 12 people each, with an age effect and a scanner effect.
inline std::vector<Row> RowsOf(const std::string& site) {
  std::vector<Row> rows;
  for (const char* scanner : {"one", "two"}) {
    const double shift = (site == "a" ? 1 : 3) * (scanner == std::string("one") ? 1 : -2);
    for (int i = 0; i < 12; ++i) {
      Row row{.id = absl::StrCat("sub-", site, scanner, 10 + i), .batch = MakeBatchId(site, scanner)};
      const double age = 20 + 3 * ((i * 7) % 12);
      row.covariates = {age};
      for (int f = 0; f < kFeatures; ++f) row.values.push_back(10 * f + 0.1 * age + shift + std::sin(i * (f + 2) + shift));
      rows.push_back(row);
    }
  }
  return rows;
}

inline v1::Manifest MakeManifest() {
  v1::Manifest manifest;
  manifest.set_protocol(kProtocolVersion);
  manifest.set_consortium("c");
  manifest.set_method("combat/1");
  v1::StudyConfig* config = manifest.mutable_config();
  config->set_study("s");
  config->mutable_features()->mutable_table()->add_columns("*");
  config->add_batch("scanner");
  v1::CovariateConfig* age = config->add_covariates();
  age->set_name("age");
  age->set_type(v1::COVARIATE_TYPE_CONTINUOUS);
  config->mutable_method()->mutable_combat()->set_prior(v1::PRIOR_PARAMETRIC);
  config->set_release(v1::RELEASE_PER_BATCH);
  config->set_min_batch_size(10);
  for (const char* site : {"a", "b"}) {
    v1::RosterSite* member = manifest.add_roster();
    member->set_site(site);
    member->add_batches("one");
    member->add_batches("two");
  }
  for (int f = 0; f < kFeatures; ++f) manifest.add_features(absl::StrCat("f", f));
  return manifest;
}

// What a site allows that takes part in that study: thresholds as they are, but for the two sites.
inline constexpr char kPolicyText[] =
    "studies: \"*\"\nmethods: combat/1\ncovariates: age\nfeatures: \"f*\"\nrelease: per_batch\nmissing: any_difference\n"
    "min_sites: 2\n";

// Site "a" of that study, in a folder of its own, with the study approved.
struct StudyAtSite {
  explicit StudyAtSite(v1::Manifest manifest = MakeManifest(), v1::AllowMissing allow = v1::ALLOW_MISSING_NO) {
    spdlog::set_level(spdlog::level::off);
    const std::string bytes = CanonicalBytes(manifest);
    v1::Approval approval;
    approval.set_manifest_sha256(Sha256Hex(bytes));
    approval.set_allow_missing(allow);
    const StudyFolder study_folder = *home.Study("s");
    EXPECT_OK(study_folder.Approve(bytes, approval));
    EXPECT_OK(WriteFileAtomically(home.PolicyPath(), kPolicyText, FileAccess::kOwnerOnly));
    study = std::make_unique<SiteStudy>(*MakeSiteStudy(home, "a", *study_folder.ReadManifest()));
    SetRows(RowsOf("a"));
    ForgetCoordinator();
  }

  void SetRows(std::vector<Row> rows) {
    tables.data = std::make_unique<MemorySiteData>(study->facts.features, std::move(rows));
    tables.inputs = tables.data->inputs();
  }

  // A coordinator that knows of nothing that this site has done.
  void ForgetCoordinator() {
    EXPECT_OK(MakeFolder(temp.Child("coordinator"), FileAccess::kOwnerOnly));
    courier =
        std::make_unique<FakeCourier>(*study->method, study->facts, study->held.sha256, "a", others, temp.Child("coordinator"));
  }

  absl::Status Run(bool force = false) {
    return RunStudy(*study, tables, {.out = out(), .force = force, .plain_sums = plain_sums}, courier.get());
  }

  std::string out() const { return temp.Child("out"); }
  std::string Output(const std::string& name) const { return ReadFile(out() + "/" + name).value_or(""); }
  std::string Kept(const std::string& name) const { return ReadFile(study->folder.File(name)).value_or(""); }

  bool plain_sums = false;
  TempFolder temp;
  Home home{temp.Child("home")};
  MemoryCohort others{RowsOf("b")};
  std::unique_ptr<SiteStudy> study;
  SiteTables tables;
  std::unique_ptr<FakeCourier> courier;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SITE_AGENT_STUDY_FIXTURE_H_

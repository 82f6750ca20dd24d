// SPDX-License-Identifier: Apache-2.0
//
// A site's participants and features: two texts, after a byte of options.
#include <cmath>

#include "attune/v1/config.pb.h"
#include "site_agent/tables/site_data.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

v1::StudyConfig StudyOf(std::uint8_t options) {
  v1::StudyConfig study;
  study.set_study("s");
  study.add_batch("scanner");
  v1::CovariateConfig& age = *study.add_covariates();
  age.set_name("age");
  age.set_type(v1::COVARIATE_TYPE_CONTINUOUS);
  v1::CovariateConfig& sex = *study.add_covariates();
  sex.set_name("sex");
  sex.set_type(v1::COVARIATE_TYPE_CATEGORICAL);
  sex.add_levels("F");
  sex.add_levels("M");
  study.mutable_features()->mutable_table()->add_columns("*");
  if ((options & 1) != 0) study.mutable_method()->mutable_combat()->set_missing(v1::MISSING_VALUES_ALLOW);
  if ((options & 2) != 0) study.set_missing_covariates(v1::MISSING_COVARIATES_EXCLUDE);
  if ((options & 4) != 0) (*study.mutable_method()->mutable_combat()->mutable_fit_on())["group"] = "HC";
  return study;
}

}  // namespace

ATTUNE_FUZZ_TARGET(site_tables)(absl::string_view bytes) {
  static const testing::TempFolder folder;
  Input input(bytes);
  const std::uint8_t options = input.Byte();
  folder.Write("participants.tsv", input.Bytes());
  folder.Write("features.tsv", input.Bytes());
  v1::SiteConfig site;
  site.set_participants("participants.tsv");
  site.add_features("features.tsv");
  SiteDataOptions where;
  where.site = "north";
  where.folder = folder.path();
  const auto data = SiteData::Open(site, StudyOf(options), where);
  RequirePrintable(data.status());
  if (!data.ok()) return;
  std::int64_t expected = 0;
  for (const BatchCount& batch : (*data)->batches()) expected += batch.subjects;
  std::int64_t subjects = 0;
  const absl::Status read = (*data)->ForEach([&](const Subject& subject) {
    ++subjects;
    for (const double value : subject.values) {
      Require(std::isfinite(value) || ((options & 1) != 0 && std::isnan(value)), "finite features, or missing where allowed");
    }
    return absl::OkStatus();
  });
  Require(read.ok() && subjects == expected, "what opened can be read, every subject that was counted");
  const auto staged = (*data)->StageTable(folder / "out.tsv", [](const Subject& subject, std::span<double> out) {
    std::copy(subject.values.begin(), subject.values.end(), out.begin());
    return absl::OkStatus();
  });
  Require(staged.ok(), "what opened can be written");
}

}  // namespace attune::fuzz

// SPDX-License-Identifier: Apache-2.0
//
// The rules of combat/1 on batches, features and options.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "tests/common/methods/combat_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

// The status block of a feature: 0 adjusted, 1 constant, 2 empty, 3 singular, 4 no residual variance.
double StatusOfFeature(const FoldResult& result, Eigen::Index feature) {
  return result.correction.common["status"](0, feature);
}

bool AnyHas(const std::vector<std::string>& notes, const std::string& words) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.find(words) != std::string::npos; });
}

// Feature f comes back bit for bit at every site.
void ExpectUntouched(const SyntheticStudy& study, const FoldResult& result, std::size_t f) {
  ASSERT_OK_AND_ASSIGN(const Values values, ApplyRows(CombatMethod(), result, study.rows));
  for (std::size_t r = 0; r < values.size(); ++r) {
    ASSERT_TRUE(SameBytes(std::span(&values[r][f], 1), std::span(&study.rows[r].values[f], 1))) << study.rows[r].batch;
  }
}

TEST(MinBatchSize, SmallerBatch_IsRefusedAndNamed) {
  SyntheticStudy study = MakeSynthetic({});
  Shrink(study, "site11/scanner1", 9);
  EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
              StatusIs(kRefused, AllOf(HasSubstr("batch 'site11/scanner1'"), HasSubstr("fewer subjects"),
                                       HasSubstr("min_batch_size 10"), Not(HasSubstr("9")))));
  study.facts.min_batch_size = 9;
  EXPECT_OK(RunRows(CombatMethod(), study.facts, study.rows));
}

TEST(MinBatchSize, CountsThoseEstimatedOn) {
  SyntheticStudy study = MakeSynthetic({});
  int fit = 0;
  for (Row& row : study.rows) row.fit = row.batch != "site10/scanner0" || ++fit <= 8;
  EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
              StatusIs(kRefused, HasSubstr("batch 'site10/scanner0': there are fewer")));
}

TEST(MinBatchSize, EmptyBatch_IsRefusedEvenWhereSmallOnesAreAllowed) {
  SyntheticStudy study = MakeSynthetic({});
  Shrink(study, "site11/scanner1", 0);
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY); });
  EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
              StatusIs(kRefused, HasSubstr("'site11/scanner1': there is no subject")));
}

TEST(SmallBatches, MeanOnly_ChangesThatBatchAlone) {
  for (const Release release : kReleases) {
    for (const int size : {1, 2, 9}) {
      SyntheticStudy study = MakeSynthetic({});
      study.facts.release = release;
      Shrink(study, "site11/scanner1", size);
      study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY); });
      ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
      for (const auto& [batch, model] : result.models) {
        const bool scales_stay = (model.parameters["delta2"].array() == 1).all();
        EXPECT_EQ(scales_stay, batch == "site11/scanner1") << batch;
        EXPECT_EQ(AnyHas(model.notes, "location only"), batch == "site11/scanner1") << batch;
      }
      ASSERT_OK_AND_ASSIGN(const Values values, ApplyRows(CombatMethod(), result, study.rows));
      EXPECT_LE(LargestRelativeDifference(values, NaiveCombat(study.rows, {}).values), 1e-10);
      EXPECT_FALSE(AnyHas(result.correction.notes, "site1")) << "no site is told of another's sizes";
      EXPECT_EQ(AnyHas(result.correction.batch_notes, absl::StrCat("site11/scanner1: this batch has ", size, " subjects")),
                release == Release::kPerBatch);
    }
  }
}

TEST(SmallBatches, ReferenceBatch_IsRefused) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({});
    study.facts.release = release;
    Shrink(study, "site11/scanner1", 9);
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) {
      o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
      o.set_reference_batch("site11/scanner1");
    });
    EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
                StatusIs(kRefused, AllOf(HasSubstr("reference batch 'site11/scanner1'"), HasSubstr("min_batch_size 10"),
                                         Not(HasSubstr("9")))));
  }
}

TEST(SmallBatches, ConstantInEveryOne_TouchesNoOtherFeature) {
  // Small batches raise no flag. 2.7 added up nine times and divided is not 2.7: what rounding leaves must not pass for
  // variance.
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.batches_per_site = {1, 2}});
    study.facts.release = release;
    for (const BatchId& batch : study.facts.batches) Shrink(study, batch, 9);
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY); });
    SyntheticStudy without = study;
    without.facts.features = Without(without.facts.features, without.facts.features.size() - 1);
    for (Row& row : without.rows) row.values.pop_back();
    for (Row& row : study.rows) row.values.back() = row.batch < "site11" ? 2.7 : 3.1;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    EXPECT_EQ(StatusOfFeature(result, 11), 4);
    ExpectUntouched(study, result, 11);
    ASSERT_OK_AND_ASSIGN(const Values expected, Harmonize(CombatMethod(), without.facts, without.rows));
    ASSERT_OK_AND_ASSIGN(Values values, ApplyRows(CombatMethod(), result, study.rows));
    for (std::vector<double>& row : values) row.pop_back();
    EXPECT_LE(LargestRelativeDifference(values, expected), 1e-12);
  }
}

TEST(ConstantFeature, LeftAsItIsEverywhereAndListedByName) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 3});
    study.facts.release = release;
    for (Row& row : study.rows) row.values[5] = row.batch == "site12/scanner0" ? 0.1 : row.values[5];
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    EXPECT_EQ(StatusOfFeature(result, 5), 1);
    ExpectUntouched(study, result, 5);
    EXPECT_THAT(result.correction.notes,
                Contains(AllOf(HasSubstr("do not vary within some batch"), HasSubstr("feature5"), Not(HasSubstr("feature6")))));
    // Which batch it is, no other site gets to know; who sees single batches does, and that site itself.
    EXPECT_FALSE(AnyHas(result.correction.notes, "site12"));
    EXPECT_EQ(AnyHas(result.correction.batch_notes, "site12/scanner0: without variation in this batch: feature5"),
              release == Release::kPerBatch);
    EXPECT_TRUE(AnyHas(result.models.at("site12/scanner0").notes, "without variation in this batch: feature5"));
    EXPECT_THAT(result.models.at("site11/scanner0").notes, IsEmpty());
  }
}

TEST(ConstantFeature, FlaggedBatchSendsZerosInItsOtherEntries) {
  SyntheticStudy study = MakeSynthetic({.seed = 3});
  for (const v1::MissingValues missing : {v1::MISSING_VALUES_REFUSE, v1::MISSING_VALUES_ALLOW}) {
    // 0.1 added up and divided again is not 0.1: a sum of squares alone would miss the flag.
    for (Row& row : study.rows) row.values[5] = row.batch == "site12/scanner0" ? 0.1 : row.values[5];
    study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) { o.set_missing(missing); });
    ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(CombatMethod(), study.facts, study.rows));
    for (const auto& [batch, summary] : by_batch) {
      const bool flagged = batch == "site12/scanner0";
      EXPECT_EQ(summary["constant"].sum(), flagged ? 1 : 0);
      EXPECT_EQ(summary["constant"](0, 5), flagged ? 1 : 0);
      for (const BlockSpec& spec : summary.form()) {
        if (spec.cols != 12 || spec.name == "constant" || spec.name == "empty") continue;
        EXPECT_EQ((summary[spec.name].col(5).array() == 0).all(), flagged) << batch << " " << spec.name;
        EXPECT_FALSE((summary[spec.name].col(4).array() == 0).all()) << batch << " " << spec.name;
      }
    }
  }
}

TEST(ConstantFeature, ReferenceBatchSendsZerosInBothCopies) {
  SyntheticStudy study = MakeSynthetic({.seed = 3});
  study.facts.release = Release::kPooled;
  for (Row& row : study.rows) row.values[5] = row.batch == "site12/scanner0" ? 0.1 : row.values[5];
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_reference_batch("site12/scanner0"); });
  ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(CombatMethod(), study.facts, study.rows));
  for (const auto& [batch, summary] : by_batch) {
    const bool is_reference = batch == "site12/scanner0";
    for (const BlockSpec& spec : summary.form()) {
      const bool copy = spec.name.rfind("reference.", 0) == 0;
      if (copy && !is_reference) {
        EXPECT_TRUE((summary[spec.name].array() == 0).all()) << batch << " " << spec.name;
      } else if (spec.cols == 12 && spec.name.find("constant") == std::string::npos) {
        EXPECT_EQ((summary[spec.name].col(5).array() == 0).all(), is_reference) << batch << " " << spec.name;
      }
    }
  }
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
  EXPECT_EQ(StatusOfFeature(result, 5), 1);
  ExpectUntouched(study, result, 5);
}

TEST(ConstantFeature, OnePersonPresent_IsFlagged) {
  SyntheticStudy study = MakeSynthetic({.seed = 3});
  int seen = 0;
  for (Row& row : study.rows) {
    if (row.batch == "site12/scanner0" && ++seen > 1) row.values[5] = std::nan("");
  }
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
  ASSERT_OK_AND_ASSIGN(const auto by_batch, AnswerFirst(CombatMethod(), study.facts, study.rows));
  EXPECT_EQ(by_batch.at("site12/scanner0")["constant"](0, 5), 1);
  EXPECT_EQ(by_batch.at("site12/scanner0")["y_sum"](0, 5), 0);
  EXPECT_EQ(by_batch.at("site12/scanner0")["count"](0, 5), 0);
}

TEST(MissingFeature, NobodyOfABatchHasIt_LeftAsItIsAndListed) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 4});
    study.facts.release = release;
    for (Row& row : study.rows) row.values[7] = row.batch == "site11/scanner0" ? std::nan("") : row.values[7];
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    EXPECT_EQ(StatusOfFeature(result, 7), 2);
    EXPECT_THAT(result.correction.notes,
                Contains(AllOf(HasSubstr("missing in everybody of some batch"), HasSubstr("feature7"))));
    ExpectUntouched(study, result, 7);
  }
}

TEST(MissingFeature, WithoutPermission_IsRefused) {
  SyntheticStudy study = MakeSynthetic({.missing_rate = 0.01});
  EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
              StatusIs(kInvalid, AllOf(HasSubstr("batch 'site1"), HasSubstr("missing: allow"))));
}

TEST(MissingFeature, SingularDesignOfItsOwn_LeftAsItIsAndListed) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 5});
    study.facts.release = release;
    // Only women have it: sex does not vary among those present.
    for (Row& row : study.rows) row.values[2] = row.covariates[1] == 1 ? std::nan("") : row.values[2];
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    EXPECT_EQ(StatusOfFeature(result, 2), 3);
    EXPECT_EQ(result.correction.common["status"].sum(), 3) << "no other feature is set aside";
    EXPECT_THAT(result.correction.notes, Contains(AllOf(HasSubstr("too few people"), HasSubstr("feature2"))));
    ExpectUntouched(study, result, 2);
  }
}

TEST(ExplainedFeature, CovariatesExplainItExactly_LeftAsItIsAndListed) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 6});
    study.facts.release = release;
    for (Row& row : study.rows) row.values[1] = 3 * row.covariates[0] - 7 * row.covariates[1] + 2;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    EXPECT_EQ(StatusOfFeature(result, 1), 4);
    EXPECT_THAT(result.correction.notes,
                Contains(AllOf(HasSubstr("explained exactly by the covariates"), HasSubstr("feature1"))));
    ExpectUntouched(study, result, 1);
  }
}

TEST(ExplainedFeature, InOneBatchOnly_IsRefusedUnlessScalesStay) {
  SyntheticStudy study = MakeSynthetic({.seed = 6, .batches_per_site = {1, 1}, .covariates = 0});
  study.facts.covariates = {{"age", "years", {}}};
  std::map<BatchId, int> seen;
  for (Row& row : study.rows) {
    const int j = seen[row.batch]++ % 20;
    const int pair = j / 2;
    row.covariates = {0.1 * pair};
    // The slope is 0.7 in both; about it, people differ in one batch alone. What rounding leaves in the other is no variance.
    row.values[1] = 0.7 * row.covariates[0] + (row.batch == "site10/scanner0" ? 3.3 : (j % 2 == 0 ? 1 : -1));
  }
  Shrink(study, "site11/scanner0", 20);
  for (const Release release : kReleases) {
    study.facts.release = release;
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); });
    EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
                StatusIs(kRefused, AllOf(HasSubstr("site10/scanner0"), HasSubstr("'feature1'"), HasSubstr("mean_only: true"))));
    study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) {
      o.set_prior(v1::PRIOR_NONE);
      o.set_mean_only(true);
    });
    EXPECT_OK(RunRows(CombatMethod(), study.facts, study.rows));
  }
}

TEST(AllFeaturesSetAside, EverythingComesBackAsItIs) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 7});
    study.facts.release = release;
    for (Row& row : study.rows) {
      if (row.batch == "site10/scanner0") row.values.assign(row.values.size(), 4);
    }
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    for (std::size_t f = 0; f < 12; ++f) ExpectUntouched(study, result, f);
  }
}

TEST(FewFeatures, NoEmpiricalBayesAndSaid) {
  for (const Release release : kReleases) {
    for (const int features : {1, 9, 10}) {
      SyntheticStudy study = MakeSynthetic({.seed = 8, .features = features});
      study.facts.release = release;
      ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
      const bool few = features < 10;
      EXPECT_EQ(AnyHas(result.correction.notes, "no empirical Bayes"), few);
      for (const auto& [batch, model] : result.models) {
        EXPECT_EQ(SameBytes(std::span(model.parameters["gamma"].data(), 1), std::span(model.parameters["gamma_hat"].data(), 1)),
                  few);
        EXPECT_EQ((model.parameters["prior"].array() == 0).all(), few);
      }
    }
  }
}

TEST(FewFeatures, FeaturesSetAsideDoNotCount) {
  SyntheticStudy study = MakeSynthetic({.seed = 8, .features = 10});
  for (Row& row : study.rows) row.values[0] = row.batch == "site10/scanner0" ? 4 : row.values[0];
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
  EXPECT_THAT(result.correction.notes, Contains(AllOf(HasSubstr("no empirical Bayes"), HasSubstr("there are 9"))));
}

TEST(FewFeatures, PriorNone_NeedsNoNote) {
  SyntheticStudy study = MakeSynthetic({.seed = 8, .features = 3});
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); });
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
  EXPECT_THAT(result.correction.notes, IsEmpty());
}

TEST(Nonparametric, ManyFeatures_RefusedUnlessForced) {
  StudyFacts facts;
  facts.batches = {"A/all", "B/all"};
  facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONPARAMETRIC); });
  facts.features = std::vector<std::string>(20000, "f");
  EXPECT_OK(CombatMethod().Begin(facts));
  facts.features = std::vector<std::string>(20001, "f");
  EXPECT_THAT(CombatMethod().Begin(facts),
              StatusIs(kInvalid, AllOf(HasSubstr("20001"), HasSubstr("force_nonparametric: true"))));
  facts.options = CombatOptionsOf([](v1::CombatOptions& o) {
    o.set_prior(v1::PRIOR_NONPARAMETRIC);
    o.set_force_nonparametric(true);
  });
  EXPECT_OK(CombatMethod().Begin(facts));
}

TEST(Options, ThatDoNotFitTheStudy_InvalidArgument) {
  SyntheticStudy study = MakeSynthetic({});
  const auto with_reference = [&](const char* name) {
    study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) { o.set_reference_batch(name); });
    return CombatMethod().Begin(study.facts);
  };
  EXPECT_OK(with_reference("site11/scanner1"));
  EXPECT_OK(with_reference("site10")) << "the only batch of its site";
  EXPECT_THAT(with_reference("NYU"),
              StatusIs(kInvalid, AllOf(HasSubstr("reference_batch"), HasSubstr("NYU"), HasSubstr("site10/scanner0"))));
  EXPECT_THAT(with_reference("scanner0"), StatusIs(kInvalid, HasSubstr("ambiguous")));
  StudyFacts none = MakeSynthetic({}).facts;
  none.features = {};
  EXPECT_THAT(CombatMethod().Begin(none), StatusIs(kInvalid, HasSubstr("no features")));
  none = MakeSynthetic({}).facts;
  none.batches.clear();
  EXPECT_THAT(CombatMethod().Begin(none), StatusIs(kInvalid, HasSubstr("no batches")));
}

TEST(FitOn, EstimatedOnSome_AppliedToAll) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 9, .subjects_per_batch = 60});
    study.facts.release = release;
    // Estimated on controls: dx does not vary among them, so it is no covariate of this study.
    study.facts.covariates.pop_back();
    for (Row& row : study.rows) {
      row.fit = row.covariates[2] == 0 && row.covariates[3] == 0;
      row.covariates.resize(2);
      if (!row.fit) row.values[0] += 50;  // must not enter the estimates
    }
    ASSERT_OK_AND_ASSIGN(const Values values, Harmonize(CombatMethod(), study.facts, study.rows));
    EXPECT_LE(LargestRelativeDifference(values, NaiveCombat(study.rows, {}).values), 1e-10);
  }
}

}  // namespace
}  // namespace attune::testing

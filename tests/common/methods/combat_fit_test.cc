// SPDX-License-Identifier: Apache-2.0
//
// What a site does with a correction: it fits for itself, refuses what differs, and applies.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/common/methods/combat_study.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalidFit = absl::StatusCode::kInvalidArgument;

class CombatFit : public ::testing::Test {
 protected:
  void SetUp() override {
    study_ = MakeSynthetic({.seed = 1});
    ASSERT_OK_AND_ASSIGN(result_, RunRows(CombatMethod(), study_.facts, study_.rows));
    ASSERT_OK_AND_ASSIGN(forms_, AnswerFirst(CombatMethod(), study_.facts, study_.rows));
  }

  absl::StatusOr<BatchModel> Fit(const Correction& correction) const {
    return CombatMethod().Fit(study_.facts, correction, batch_, forms_.at(batch_));
  }

  const BatchId batch_ = "site11/scanner0";
  SyntheticStudy study_;
  FoldResult result_;
  std::map<BatchId, Summary> forms_;
};

TEST_F(CombatFit, SameAtTheSiteAndAtTheCoordinator) {
  ASSERT_OK_AND_ASSIGN(const BatchModel model, Fit(result_.correction));
  EXPECT_EQ(model.batch, batch_);
  for (const BlockSpec& spec : result_.correction.by_batch.at(batch_).form()) {
    EXPECT_EQ(model.parameters[spec.name], result_.correction.by_batch.at(batch_)[spec.name]) << spec.name;
  }
}

TEST_F(CombatFit, TamperedCorrection_DataLoss) {
  for (const BlockSpec& spec : result_.correction.by_batch.at(batch_).form()) {
    for (const double change : {1e-8, -1e-8, 1.0, std::nan("")}) {
      Correction bad = result_.correction;
      double& entry = bad.by_batch.at(batch_).Mutable(spec.name)(0, 4);
      entry += change * std::max(1.0, std::abs(entry));
      EXPECT_THAT(Fit(bad), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("site11/scanner0"), HasSubstr("journal"))))
          << spec.name;
    }
  }
}

TEST_F(CombatFit, LastBits_AreNotTampering) {
  Correction other_machine = result_.correction;
  other_machine.by_batch.at(batch_).Mutable("gamma").array() += 1e-12;
  EXPECT_OK(Fit(other_machine));
}

TEST_F(CombatFit, TamperedPooledParameters_DataLoss) {
  for (const char* block : {"alpha", "sigma", "beta"}) {
    Correction bad = result_.correction;
    bad.common.Mutable(block)(0, 4) *= 1.001;
    EXPECT_THAT(Fit(bad), StatusIs(absl::StatusCode::kDataLoss, _)) << block;
  }
}

TEST_F(CombatFit, AnotherBatchsCorrection_DataLoss) {
  Correction swapped = result_.correction;
  swapped.by_batch[batch_] = swapped.by_batch.at("site10/scanner0");
  EXPECT_THAT(Fit(swapped), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST_F(CombatFit, CorrectionWithoutThisBatch_InvalidArgument) {
  Correction bad = result_.correction;
  bad.by_batch.erase(batch_);
  EXPECT_THAT(Fit(bad), StatusIs(kInvalidFit, HasSubstr("does not hold batch 'site11/scanner0'")));
}

TEST_F(CombatFit, CorrectionThatCannotBeComputedWith_InvalidArgument) {
  Correction bad = result_.correction;
  bad.common.Mutable("sigma")(0, 3) = 0;
  EXPECT_THAT(Fit(bad), StatusIs(kInvalidFit, HasSubstr("sigma of feature 3")));
  bad = result_.correction;
  bad.common.Mutable("alpha")(0, 3) = std::nan("");
  EXPECT_THAT(Fit(bad), StatusIs(kInvalidFit, HasSubstr("'alpha'")));
  for (const double status : {-1.0, 0.5, 5.0, 1e300}) {
    bad = result_.correction;
    bad.common.Mutable("status")(0, 3) = status;
    EXPECT_THAT(Fit(bad), StatusIs(kInvalidFit, HasSubstr("status of feature 3")));
  }
}

TEST_F(CombatFit, AdjustsWhatThisBatchFlagged_InvalidArgument) {
  // Its sums of that feature were never sent; a correction of it would be made up.
  Summary own = forms_.at(batch_);
  own.Mutable("constant")(0, 3) = 1;
  for (const char* block : {"y_sum", "yy"}) own.Mutable(block)(0, 3) = 0;
  own.Mutable("xy").col(3).setZero();
  EXPECT_THAT(CombatMethod().Fit(study_.facts, result_.correction, batch_, own),
              StatusIs(kInvalidFit, AllOf(HasSubstr("site11/scanner0"), HasSubstr("feature3"))));
}

TEST_F(CombatFit, Next_AnswersThatNoBatchCanGive) {
  ASSERT_OK_AND_ASSIGN(const Question question, CombatMethod().Begin(study_.facts));
  const auto next = [&](const std::function<void(Summary&)>& change) {
    std::map<BatchId, Summary> forms = forms_;
    change(forms.at(batch_));
    const absl::StatusOr<Answers> answers = AddUp(question.form, Release::kPerBatch, forms);
    EXPECT_OK(answers);
    return CombatMethod().Next(study_.facts, question, *answers).status();
  };
  const auto named = [](const char* words) { return AllOf(HasSubstr("site11/scanner0"), HasSubstr(words)); };
  EXPECT_OK(next([](Summary&) {}));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("n")(0, 0) += 0.5; }), StatusIs(kInvalidFit, named("whole number")));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("n")(0, 0) = -3; }), StatusIs(kInvalidFit, named("'n'")));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("constant")(0, 2) = 2; }), StatusIs(kInvalidFit, named("'constant'")));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("yy")(0, 2) = -1; }), StatusIs(kInvalidFit, named("'yy'")));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("xx")(0, 0) = -1; }), StatusIs(kInvalidFit, named("'xx'")));
  EXPECT_THAT(next([](Summary& s) { s.Mutable("n")(0, 0) = 9; }),
              StatusIs(absl::StatusCode::kFailedPrecondition, named("min_batch_size 10")));
}

TEST_F(CombatFit, OtherForms_InvalidArgument) {
  Correction bad = result_.correction;
  bad.common = Blocks::Zero({{"alpha", BlockKind::kSum, 1, 12}});
  EXPECT_THAT(Fit(bad), StatusIs(kInvalidFit, HasSubstr("the correction: block 0")));
  EXPECT_THAT(CombatMethod().Fit(study_.facts, result_.correction, batch_, Summary()),
              StatusIs(kInvalidFit, HasSubstr("own form")));
}

TEST_F(CombatFit, EstimatesThatDoNotConverge_NamesTheBatch) {
  // 100 features close together and one whose shrinkage creeps: location and scale pull each other along for more than 1000
  // steps.
  constexpr int kFeatures = 101;
  constexpr double kSubjects = 10;
  StudyFacts facts;
  facts.batches = {"A/all", "B/all"};
  facts.release = Release::kPooled;
  std::vector<std::string> names;
  for (int f = 0; f < kFeatures; ++f) names.push_back("f" + std::to_string(f));
  facts.features = names;
  ASSERT_OK_AND_ASSIGN(const Question question, CombatMethod().Begin(facts));
  Summary own = Summary::Zero(question.form);
  own.Mutable("n")(0, 0) = kSubjects;
  for (int f = 0; f < kFeatures; ++f) {
    const bool creeping = f == kFeatures - 1;
    own.Mutable("y_sum")(0, f) = kSubjects * (creeping ? -0.45299122814250764 : 1 + 0.01 * (f % 5 - 2));
    own.Mutable("yy")(0, f) = creeping ? 0.3481633476847861 : (kSubjects - 1) * 0.02 * (1 + 0.5 * (f % 7 - 3) / 3);
  }
  Correction correction;
  correction.common = Blocks::Zero({{"n", BlockKind::kCount, 1, 1},
                                    {"alpha", BlockKind::kSum, 1, kFeatures},
                                    {"beta", BlockKind::kSum, 0, kFeatures},
                                    {"sigma", BlockKind::kSum, 1, kFeatures},
                                    {"status", BlockKind::kCount, 1, kFeatures}});
  correction.common.Mutable("sigma").setOnes();
  EXPECT_THAT(
      CombatMethod().Fit(facts, correction, "A/all", own),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("batch 'A/all'"), HasSubstr("not converged after 1000 iterations"), HasSubstr("prior: none"))));
}

TEST_F(CombatFit, NoVarianceLeftInThisBatch_NamesBatchAndFeature) {
  for (const v1::Prior prior : {v1::PRIOR_NONE, v1::PRIOR_NONPARAMETRIC}) {
    StudyFacts facts = study_.facts;
    facts.release = Release::kPooled;
    facts.options = CombatOptionsOf([&](v1::CombatOptions& o) { o.set_prior(prior); });
    Summary own = forms_.at(batch_);
    own.Mutable("yy")(0, 4) = 0;  // on the slope 0, which the correction is made to have
    own.Mutable("xy").col(4).setZero();
    Correction correction;
    correction.common = result_.correction.common;
    correction.common.Mutable("beta").col(4).setZero();
    EXPECT_THAT(
        CombatMethod().Fit(facts, correction, batch_, own),
        StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("batch 'site11/scanner0'"), HasSubstr("'feature4'"))));
    facts.options = CombatOptionsOf([&](v1::CombatOptions& o) {
      o.set_prior(prior);
      o.set_mean_only(true);
    });
    EXPECT_OK(CombatMethod().Fit(facts, correction, batch_, own)) << "a location needs no variance";
  }
}

TEST_F(CombatFit, Apply_SizeMismatch_InvalidArgument) {
  const BatchModel& model = result_.models.at(batch_);
  const Row& row = study_.rows[0];
  std::vector<double> out(12);
  EXPECT_OK(CombatMethod().Apply(model, AsSubject(row), out));
  Row fewer = row;
  fewer.values.pop_back();
  EXPECT_THAT(CombatMethod().Apply(model, AsSubject(fewer), out), StatusIs(kInvalidFit, HasSubstr("11 features")));
  Row more = row;
  more.covariates.push_back(1);
  EXPECT_THAT(CombatMethod().Apply(model, AsSubject(more), out), StatusIs(kInvalidFit, HasSubstr("5")));
  out.resize(13);
  EXPECT_THAT(CombatMethod().Apply(model, AsSubject(row), out), StatusIs(kInvalidFit, _));
}

TEST_F(CombatFit, Apply_DamagedModel_InvalidArgument) {
  ASSERT_OK_AND_ASSIGN(const BatchModel model, Fit(result_.correction));
  std::vector<double> out(study_.facts.features.size());
  const Subject subject = AsSubject(study_.rows[0]);
  for (const BlockSpec& gone : model.parameters.form()) {
    Form form = model.parameters.form();
    std::erase(form, gone);
    BatchModel damaged{batch_, Blocks::Zero(form), {}};
    EXPECT_THAT(CombatMethod().Apply(damaged, subject, out), StatusIs(kInvalidFit, HasSubstr(gone.name)));
    form = model.parameters.form();
    for (BlockSpec& spec : form) spec.cols += spec.name == gone.name ? 1 : 0;
    damaged.parameters = Blocks::Zero(form);
    EXPECT_THAT(CombatMethod().Apply(damaged, subject, out), StatusIs(kInvalidFit, HasSubstr(gone.name)));
  }
  for (const char* block : {"sigma", "delta2"}) {
    for (const double value : {0.0, -1.0}) {
      BatchModel damaged = model;
      damaged.parameters.Mutable(block)(0, 7) = value;
      EXPECT_THAT(CombatMethod().Apply(damaged, subject, out), StatusIs(kInvalidFit, HasSubstr("feature number 8")));
    }
  }
}

TEST_F(CombatFit, Apply_NaNStaysNaN_AndNothingElseChanges) {
  Row row = study_.rows[30];
  const BatchModel& model = result_.models.at(row.batch);
  std::vector<double> whole(12);
  ASSERT_OK(CombatMethod().Apply(model, AsSubject(row), whole));
  row.values[6] = std::nan("");
  std::vector<double> out(12);
  ASSERT_OK(CombatMethod().Apply(model, AsSubject(row), out));
  for (std::size_t f = 0; f < 12; ++f) {
    if (f == 6) {
      EXPECT_TRUE(std::isnan(out[f]));
    } else {
      EXPECT_EQ(out[f], whole[f]);
    }
  }
}

TEST_F(CombatFit, Apply_FormulaByHand) {
  const Row& row = study_.rows[30];
  const Blocks& p = result_.models.at(row.batch).parameters;
  std::vector<double> out(12);
  ASSERT_OK(CombatMethod().Apply(result_.models.at(row.batch), AsSubject(row), out));
  for (int f = 0; f < 12; ++f) {
    double fitted = p["alpha"](0, f);
    for (int i = 0; i < 4; ++i) fitted += row.covariates[static_cast<std::size_t>(i)] * p["beta"](i, f);
    const double sigma = p["sigma"](0, f);
    const double z = (row.values[static_cast<std::size_t>(f)] - fitted) / sigma;
    EXPECT_NEAR(out[static_cast<std::size_t>(f)], sigma * (z - p["gamma"](0, f)) / std::sqrt(p["delta2"](0, f)) + fitted,
                1e-11);
  }
}

}  // namespace
}  // namespace attune::testing

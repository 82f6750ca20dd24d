// SPDX-License-Identifier: Apache-2.0
//
// Per-feature figures of the evidence, in the terms of the report.
#ifndef ATTUNE_COMMON_REPORT_FIGURES_H_
#define ATTUNE_COMMON_REPORT_FIGURES_H_

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

#include "attune/v1/report.pb.h"
#include "common/evidence/summary.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"
#include "common/report/selection.h"

namespace attune {

// Reads the evidence of a study. The evidence must have the study's form (Summarize has checked it) and outlive this.
class FigureReader {
 public:
  FigureReader(const Blocks& evidence, const StudyFacts& facts);

  bool tested(Eigen::Index feature) const;
  bool has_scale_ratios() const { return scale_ratios_; }
  double batches() const { return batches_; }

  // Of one phase, "before." or "after." (kPhases); NaN for a feature that was not tested.
  double F(const std::string& phase, Eigen::Index feature) const;
  double PartialEtaSquared(const std::string& phase, Eigen::Index feature) const;
  double CohensF(const std::string& phase, Eigen::Index feature) const;
  double LogScaleRatio(const std::string& phase, Eigen::Index feature) const;
  double NegLog10P(const std::string& phase, Eigen::Index feature) const;  // NaN where there is one batch
  double CovariateF(const std::string& phase, std::size_t covariate, Eigen::Index feature) const;
  double CovariateNegLog10P(const std::string& phase, std::size_t covariate, Eigen::Index feature) const;

  // The tested features in order of the p-value of batch, the smallest first; equal ones by their number.
  std::vector<Eigen::Index> Ranked(const std::string& phase) const;

 private:
  double Freedom(Eigen::Index feature) const;  // of the denominator
  double Entry(const std::string& block, Eigen::Index row, Eigen::Index feature) const;

  const Blocks& evidence_;
  Eigen::Index features_;
  double batches_;
  double columns_;                         // of the design
  std::vector<double> covariate_columns_;  // of each covariate
  bool scale_ratios_;
};

// The figures of one phase, of the features that `listed` names and, in detail, of those positions of it that `detailed` names.
v1::PhaseFigures FiguresOfPhase(const FigureReader& reader, const std::string& phase, const EvidenceSummary::Phase& totals,
                                const Selection& listed, const Selection& detailed);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_FIGURES_H_

// SPDX-License-Identifier: Apache-2.0
//
// Is there a batch effect, and are the covariates' effects still there? Per feature, from sums over batches only: analysis of
// covariance with batch as a factor. With the scatter of (x, y) within batches, W, and in total, T = W + B:
//
//   RSS(x, batch) = Wyy - Wyx Wxx^-1 Wxy              N - S - p degrees of freedom
//   RSS(x)        = Tyy - Tyx Txx^-1 Txy
//   F             = ((RSS(x) - RSS(x, batch)) / (S - 1)) / (RSS(x, batch) / (N - S - p))
//   partial eta^2 = (RSS(x) - RSS(x, batch)) / RSS(x)
//   F of a covariate with q columns: the same with the columns left out of W instead, and q for S - 1
//   scale ratio: median over batches of |ln(s_b / s)|, s_b^2 = RSS_b / (n_b - 1), s^2 = sum RSS_b / sum (n_b - 1)
#ifndef ATTUNE_COMMON_EVIDENCE_SITE_EFFECT_H_
#define ATTUNE_COMMON_EVIDENCE_SITE_EFFECT_H_

#include <Eigen/Core>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"
#include "common/numeric/moments.h"

namespace attune {

// Sums over batches of what the tests need, about a common centre that only has to be near the means. They add up.
struct ScatterSums {
  ScatterSums(Eigen::Index p, Eigen::Index features, bool per_feature);

  // The first moment about the centre and the second moments within and between batches. Columns: features, or one where
  // they are common to all features.
  Eigen::ArrayXd count;        // 1 or F
  Eigen::ArrayXXd x_shift;     // p x (1 or F): sum of n_b (xbar_b - centre)
  Eigen::ArrayXXd xx_within;   // p*p x (1 or F)
  Eigen::ArrayXXd xx_between;  // p*p x (1 or F): sum of n_b (xbar_b - centre)(xbar_b - centre)'
  Eigen::ArrayXd y_shift;      // F
  Eigen::ArrayXXd xy_within;   // p x F
  Eigen::ArrayXXd xy_between;  // p x F
  Eigen::ArrayXd yy_within;    // F
  Eigen::ArrayXd yy_between;   // F

  // x_centre: p, y_centre: F.
  void AddBatch(const Moments& batch, const Eigen::Ref<const Eigen::ArrayXd>& x_centre,
                const Eigen::Ref<const Eigen::ArrayXd>& y_centre);
};

// The blocks of Correction::evidence: tested, count (1 x F), batches, subjects (1 x 1), and for each phase "before." and
// "after.": f, partial_eta_squared (1 x F), covariate_f (covariates x F), and with `scale_ratios` log_scale_ratio (1 x F).
Form EvidenceForm(const StudyFacts& facts, bool scale_ratios);
inline constexpr const char* kPhases[] = {"before.", "after."};
// By its text: of two equal literals each may have a place of its own.
inline bool IsBefore(absl::string_view phase) { return phase == kPhases[0]; }

// Writes the figures of one phase for the features [first, first + F of sums). A feature that cannot be tested (no degrees of
// freedom, no residual, figures that overflow) loses its "tested" flag. `batches`: S. `by_batch`: each batch's moments of these
// features, for the scale ratios; may be empty.
void WriteFigures(const StudyFacts& facts, const std::string& phase, const ScatterSums& sums, double batches,
                  const std::vector<Moments>& by_batch, Eigen::Index first, Blocks& evidence);

}  // namespace attune

#endif  // ATTUNE_COMMON_EVIDENCE_SITE_EFFECT_H_

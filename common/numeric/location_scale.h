// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_NUMERIC_LOCATION_SCALE_H_
#define ATTUNE_COMMON_NUMERIC_LOCATION_SCALE_H_

#include <Eigen/Core>

#include "common/numeric/moments.h"

namespace attune {

// One batch's correction of F features: y* = sigma (z - gamma) / sqrt(delta2) + alpha + x'beta with
// z = (y - alpha - x'beta) / sigma. Features that are not adjusted come back as they are.
struct LocationScale {
  Eigen::ArrayXd alpha;     // F
  Eigen::ArrayXXd beta;     // p x F
  Eigen::ArrayXd sigma;     // F
  Eigen::ArrayXd gamma;     // F
  Eigen::ArrayXd delta2;    // F
  Eigen::ArrayXd adjusted;  // F: 1 or 0
};

// The moments that the same subjects have after the correction, exactly: it is affine within a batch, given x.
//   ybar* = (ybar - alpha - xbar'beta - sigma gamma) / d + alpha + xbar'beta,  d = sqrt(delta2)
//   Sxy*  = Sxx beta + e / d,  e = Sxy - Sxx beta
//   Syy*  = beta'Sxx beta + 2 beta'e / d + RSS / d^2
// Minima and maxima are not carried over.
Moments AfterCorrection(const Moments& before, const LocationScale& correction);

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_LOCATION_SCALE_H_

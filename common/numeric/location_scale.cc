// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/location_scale.h"

#include <cmath>

namespace attune {

Moments AfterCorrection(const Moments& before, const LocationScale& correction) {
  using Eigen::Index;
  Moments after = before;
  const Index p = before.p();
  Eigen::VectorXd xx_beta(p);
  for (Index f = 0; f < before.features(); ++f) {
    if (correction.adjusted[f] == 0) continue;
    const Index column = before.DesignColumn(f);
    const double d = std::sqrt(correction.delta2[f]);
    const double* xx = before.xx.data() + column * p * p;
    double fitted = correction.alpha[f];
    double beta_xx_beta = 0;
    double beta_xy = 0;
    for (Index i = 0; i < p; ++i) {
      xx_beta[i] = 0;
      for (Index j = 0; j < p; ++j) xx_beta[i] += xx[i + j * p] * correction.beta(j, f);
      fitted += before.x_mean(i, column) * correction.beta(i, f);
      beta_xx_beta += correction.beta(i, f) * xx_beta[i];
      beta_xy += correction.beta(i, f) * before.xy(i, f);
      after.xy(i, f) = xx_beta[i] + (before.xy(i, f) - xx_beta[i]) / d;
    }
    const double beta_e = beta_xy - beta_xx_beta;
    const double rss = before.yy[f] - beta_xx_beta - 2 * beta_e;
    after.yy[f] = beta_xx_beta + 2 * beta_e / d + rss / (d * d);
    after.y_mean[f] = (before.y_mean[f] - fitted - correction.sigma[f] * correction.gamma[f]) / d + fitted;
  }
  return after;
}

}  // namespace attune

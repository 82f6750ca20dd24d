// SPDX-License-Identifier: Apache-2.0
#include "common/report/tail.h"

#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>
#include <limits>

namespace attune {
namespace {

// Below this a double has few digits left, or none.
constexpr double kSmallest = 1e-290;

// ln of the regularized incomplete beta function I_x(a, b), by x^a (1 - x)^b / (a B(a, b)) * sum (a + b)_n / (a + 1)_n x^n
// (DLMF 8.17.8): all terms are positive, and for the tiny values that it is asked for the sum is short.
double LogIncompleteBeta(double a, double b, double x) {
  double term = 1;
  double sum = 1;
  for (int n = 0; n < 100000 && term > 1e-17 * sum; ++n) {
    term *= (a + b + n) / (a + 1 + n) * x;
    sum += term;
  }
  return a * std::log(x) + b * std::log1p(-x) - std::log(a) - (std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b)) +
         std::log(sum);
}

}  // namespace

double NegLog10UpperTail(double f, double numerator, double denominator) {
  if (!(f > 0)) return 0;
  if (std::isinf(f)) return std::numeric_limits<double>::infinity();
  const double tail = boost::math::cdf(boost::math::complement(boost::math::fisher_f(numerator, denominator), f));
  if (tail > kSmallest) return -std::log10(tail);
  return -LogIncompleteBeta(denominator / 2, numerator / 2, denominator / (denominator + numerator * f)) / std::log(10.0);
}

}  // namespace attune

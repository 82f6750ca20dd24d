// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_REPORT_TAIL_H_
#define ATTUNE_COMMON_REPORT_TAIL_H_

namespace attune {

// -log10 of the probability that an F statistic with these degrees of freedom is above `f`, also where the probability itself
// is too small for a double. 0 for f <= 0, infinity for f = infinity. Both degrees of freedom must be positive.
double NegLog10UpperTail(double f, double numerator, double denominator);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_TAIL_H_

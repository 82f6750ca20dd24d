// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_WORD128_H_
#define ATTUNE_COMMON_BASE_WORD128_H_

namespace attune {

// An element of Z_2^128, the ring in which masked sums are added up; wraps around.
__extension__ typedef unsigned __int128 Word128;

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_WORD128_H_

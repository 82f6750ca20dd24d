// SPDX-License-Identifier: Apache-2.0
//
// Columns of numbers as the report has them: bytes, little-endian.
#ifndef ATTUNE_COMMON_REPORT_COLUMNS_H_
#define ATTUNE_COMMON_REPORT_COLUMNS_H_

#include <bit>
#include <cstdint>
#include <string>

namespace attune {

inline void AppendUint32(std::uint32_t value, std::string* column) {
  for (int shift = 0; shift < 32; shift += 8) column->push_back(static_cast<char>((value >> shift) & 0xFF));
}

inline void AppendFloat(double value, std::string* column) {
  AppendUint32(std::bit_cast<std::uint32_t>(static_cast<float>(value)), column);
}

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_COLUMNS_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_SCRATCH_ARRAY_H_
#define ATTUNE_COMMON_BASE_SCRATCH_ARRAY_H_

#include <cstddef>
#include <span>

namespace attune {

// Numbers that may be more than memory should hold: from kScratchBytes on they lie in a file without a name in the folder of
// temporary files (TMPDIR, else /tmp), mapped into memory, which the system writes out when it needs the room. The file's space
// is taken at once; where that cannot be had, they lie in memory. Copies share nothing. Thread-compatible.
class ScratchArray {
 public:
  static constexpr std::size_t kScratchBytes = std::size_t{4} << 20;

  ScratchArray() = default;
  // `size` zeros. Throws std::bad_alloc when there is neither disk nor memory for them.
  explicit ScratchArray(std::size_t size);
  explicit ScratchArray(std::span<const double> values);
  ScratchArray(const ScratchArray& other);
  ScratchArray(ScratchArray&& other) noexcept;
  ScratchArray& operator=(ScratchArray other) noexcept;
  ~ScratchArray();

  double* data() { return data_; }
  const double* data() const { return data_; }
  std::size_t size() const { return size_; }
  // Lets go of the memory that values in a file take, of all of them or of the pages that hold those of
  // [first, first + count); touched again, they come from the file. Values stay as they are, also what other threads write.
  void Evict() const;
  void Evict(std::size_t first, std::size_t count) const;

  operator std::span<const double>() const { return {data_, size_}; }
  operator std::span<double>() { return {data_, size_}; }
  double& operator[](std::size_t i) { return data_[i]; }
  double operator[](std::size_t i) const { return data_[i]; }

 private:
  double* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_bytes_ = 0;  // 0: in memory
};

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_SCRATCH_ARRAY_H_

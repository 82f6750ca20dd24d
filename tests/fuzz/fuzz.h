// SPDX-License-Identifier: Apache-2.0
//
// What fuzz targets share. A target is one file "<name>_fuzz.cc" with
//
//   ATTUNE_FUZZ_TARGET(yaml)(absl::string_view bytes) { ... Require(...); }
//
// With clang (make fuzz) it is a program of libFuzzer; in ordinary builds it is part of fuzz_replay, which runs the seeds in
// corpus/<name>/ and mutations of them.
#ifndef ATTUNE_TESTS_FUZZ_FUZZ_H_
#define ATTUNE_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune::fuzz {

using Target = void (*)(absl::string_view bytes);

// Ends the program as a crash when a property does not hold.
void Require(bool holds, absl::string_view property);
// OK, or an error of which every character can be shown on a terminal and in a log, whatever the input was.
void RequirePrintable(const absl::Status& status);
// Likewise; nor may the peer who reads it learn where this machine keeps its files.
void RequireForPeer(const absl::Status& status, absl::string_view folder);

// Takes an input apart. Reads beyond its end give zeros and empty text.
class Input {
 public:
  explicit Input(absl::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  std::uint8_t Byte();
  // Two bytes, little-endian: how long, and that many bytes or what there is.
  std::string Bytes();
  absl::string_view Rest() const { return rest_; }

 private:
  absl::string_view rest_;
};

struct Registration {
  Registration(const char* name, Target target);
};

}  // namespace attune::fuzz

#ifdef ATTUNE_FUZZ
#define ATTUNE_FUZZ_TARGET(name)                                                      \
  static void RunTarget(absl::string_view bytes);                                     \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    RunTarget(absl::string_view(reinterpret_cast<const char*>(data), size));          \
    return 0;                                                                         \
  }                                                                                   \
  static void RunTarget
#else
#define ATTUNE_FUZZ_TARGET(name)                                                      \
  static void name##Target(absl::string_view bytes);                                  \
  static const ::attune::fuzz::Registration name##_registration(#name, name##Target); \
  static void name##Target
#endif

#endif  // ATTUNE_TESTS_FUZZ_FUZZ_H_

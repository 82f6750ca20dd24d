// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_IMAGING_PROGRESS_H_
#define ATTUNE_SITE_AGENT_IMAGING_PROGRESS_H_

#include <cstddef>
#include <mutex>
#include <string>

#include "absl/time/time.h"

namespace attune {

// Tells on stderr how far a long piece of work is and how long the rest will take: a line that is written over on a terminal,
// else a plain line every ten seconds. Short work says nothing. Thread-safe.
class Progress {
 public:
  // "harmonized 12 of 48 images, about 20s left": `done` is "harmonized", `things` "images".
  Progress(std::string done, std::string things, std::size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Step();

  // The line after `count` of them.
  std::string Line(std::size_t count, absl::Duration elapsed) const;

 private:
  const std::string done_;
  const std::string things_;
  const std::size_t total_;
  const bool terminal_;
  const absl::Time start_;
  std::mutex mutex_;
  std::size_t count_ = 0;
  absl::Time told_;
  bool shown_ = false;  // a line on the terminal that is not ended yet
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_PROGRESS_H_

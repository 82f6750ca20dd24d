// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_IMAGING_READ_AHEAD_H_
#define ATTUNE_SITE_AGENT_IMAGING_READ_AHEAD_H_

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace attune {

// Calls load(i, slot) for i in [0, count) on `threads` threads of its own, and use(i, slot) in order of i on the caller's,
// which sees each slot as load left it. There are threads + 1 slots, which are used again. Returns the first error in order of
// i, of load or of use; what comes after is not used.
template <typename Slot, typename Load, typename Use>
absl::Status ReadAhead(std::size_t count, int threads, const Load& load, const Use& use) {
  const std::size_t readers = static_cast<std::size_t>(threads < 1 ? 1 : threads);
  std::vector<Slot> slots(readers + 1);
  std::vector<absl::Status> loaded(slots.size());
  std::vector<std::size_t> holds(slots.size(), count);  // which i a slot holds; count: none
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t next = 0;  // to load
  std::size_t used = 0;
  bool stopped = false;
  const auto read = [&] {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stopped || next >= count || next < used + slots.size(); });
      if (stopped || next >= count) return;
      const std::size_t i = next++;
      const std::size_t s = i % slots.size();
      lock.unlock();
      absl::Status status = load(i, &slots[s]);
      lock.lock();
      loaded[s] = std::move(status);
      holds[s] = i;
      changed.notify_all();
    }
  };
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < readers && t < count; ++t) pool.emplace_back(read);
  absl::Status result;
  for (std::size_t i = 0; i < count && result.ok(); ++i) {
    const std::size_t s = i % slots.size();
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [&] { return holds[s] == i; });
      result = loaded[s];
    }
    if (result.ok()) result = use(i, slots[s]);
    const std::lock_guard<std::mutex> lock(mutex);
    used = i + 1;
    stopped = !result.ok();
    changed.notify_all();
  }
  for (std::thread& reader : pool) reader.join();
  return result;
}

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_READ_AHEAD_H_

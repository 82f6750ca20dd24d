// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing for ordinary builds: runs a target on each seed, then on RUNS mutations of the seeds, always the same ones.
// Usage: fuzz_replay TARGET RUNS CORPUS|FILE. An input that fails is kept as ./crash-TARGET: add it to the corpus once it is
// mended.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace attune::fuzz {
namespace {

std::map<std::string, Target>& Targets() {
  static auto* const targets = new std::map<std::string, Target>();
  return *targets;
}

constexpr std::size_t kMaxBytes = 1 << 16;

std::string current;     // the input that runs
std::string crash_path;  // where it is kept when it fails

void KeepInput() {
  const int file = ::open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) return;
  static_cast<void>(!::write(file, current.data(), current.size()));
  ::close(file);
}

void OnSignal(int signal) {
  KeepInput();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>* seeds) : seeds_(seeds) {}

  std::string Next() {
    std::string bytes = AnySeed();
    for (std::size_t i = 1 + Below(4); i > 0; --i) Mutate(bytes);
    if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
    return bytes;
  }

 private:
  // Not std::uniform_int_distribution: its numbers are not the same everywhere.
  std::size_t Below(std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(random_() % limit); }
  const std::string& AnySeed() { return (*seeds_)[Below(seeds_->size())]; }

  void Mutate(std::string& bytes) {
    static constexpr char kTelling[] = {'\0', '\n', '\r', '\t', '"', '\'',   ',',    ':',
                                        '-',  '{',  '[',  '&',  '*', '\x1b', '\x7f', '\xff'};
    const std::size_t at = Below(bytes.size() + 1);
    const std::size_t length = std::min(Below(16) + 1, bytes.size() - at);
    const char telling = kTelling[Below(sizeof(kTelling))];
    switch (Below(9)) {
      case 0:
        if (length > 0) bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        return;
      case 1:
        if (length > 0) bytes[at] = static_cast<char>(Below(256));
        return;
      case 2:
        if (length > 0) bytes[at] = telling;
        return;
      case 3:
        bytes.insert(at, 1, telling);
        return;
      case 4:
        bytes.erase(at, length);
        return;
      case 5:
        bytes.insert(at, bytes.substr(Below(bytes.size() + 1), 1 + Below(64)));
        return;
      case 6: {
        const std::string& other = AnySeed();
        bytes.replace(at, length, other.substr(Below(other.size() + 1), 1 + Below(64)));
        return;
      }
      case 7:
        bytes.resize(at);
        return;
      default: {  // a number, as sizes and counts are written
        const std::uint64_t number = Below(2) == 0 ? ~std::uint64_t{0} >> Below(64) : std::uint64_t{1} << Below(64);
        for (std::size_t i = 0; i < std::min<std::size_t>(8, bytes.size() - at); ++i) {
          bytes[at + i] = static_cast<char>(number >> (8 * i));
        }
      }
    }
  }

  const std::vector<std::string>* const seeds_;  // not owned
  std::mt19937_64 random_;
};

std::vector<std::string> ReadSeeds(const std::string& path) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  } else {
    files.emplace_back(path);
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  for (const auto& file : files) {
    std::ostringstream bytes;
    bytes << std::ifstream(file, std::ios::binary).rdbuf();
    seeds.push_back(bytes.str());
  }
  return seeds;
}

int Replay(const std::string& name, int runs, const std::string& corpus) {
  const auto target = Targets().find(name);
  const std::vector<std::string> seeds = ReadSeeds(corpus);
  if (target == Targets().end() || seeds.empty()) {
    std::fprintf(stderr, "fuzz_replay: no target '%s', or no seeds in '%s'\n", name.c_str(), corpus.c_str());
    return 2;
  }
  crash_path = "crash-" + name;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback(KeepInput);
#endif
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) std::signal(signal, OnSignal);
  const auto run = [&](const std::string& bytes) {
    current = bytes;
    ::alarm(20);  // no input may take that long
    target->second(current);
  };
  for (const std::string& seed : seeds) run(seed);
  Mutator mutator(&seeds);
  for (int i = 0; i < runs; ++i) run(mutator.Next());
  return 0;
}

}  // namespace

Registration::Registration(const char* name, Target target) { Targets()[name] = target; }

}  // namespace attune::fuzz

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: fuzz_replay TARGET RUNS CORPUS|FILE\n");
    return 2;
  }
  return attune::fuzz::Replay(argv[1], std::atoi(argv[2]), argv[3]);
}

// SPDX-License-Identifier: Apache-2.0
//
// ComBat on images as arithmetic alone: no reading, no network. voxels.sh runs it, and R's sva on the same matrix.
//
//   attune_voxel_bench raw MASK OUT IMAGE...   the voxels of images as one file of doubles, image after image
//   attune_voxel_bench study [RAW SUBJECTS]    the phases of a study, by threads and by features; without RAW a made-up matrix
//   attune_voxel_bench memory                  private memory of a site's pass, by subjects
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/kernel/fold.h"
#include "common/methods/combat/combat.h"
#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

constexpr int kSites = 4;
constexpr double kMiB = 1024.0 * 1024.0;

[[noreturn]] void Fail(const absl::Status& status) {
  std::cerr << "attune_voxel_bench: " << status << "\n";
  std::exit(1);
}
template <typename T>
T OrFail(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

BatchId SiteBatch(int site) { return absl::StrCat("site-", site + 1, "/one"); }

StudyFacts FactsOf(std::size_t features, int sites) {
  StudyFacts facts;
  facts.features = FeatureNames::Voxels(features);
  for (int site = 0; site < sites; ++site) facts.batches.push_back(SiteBatch(site));
  return facts;
}

// Subjects in memory; equal shares of them, in order, are the sites.
struct Matrix {
  std::vector<std::span<const double>> subjects;
  std::shared_ptr<const void> owner;

  int SiteOfSubject(std::size_t s) const { return static_cast<int>(s * kSites / subjects.size()); }
  Subject At(std::size_t s, std::size_t features) const {
    const std::string id = absl::StrCat("sub-", s / 100, s / 10 % 10, s % 10);
    return {id, id, SiteBatch(SiteOfSubject(s)), true, {}, subjects[s].first(features)};
  }
};

// The first `features` of one site's subjects.
class SiteOfMatrix : public Cohort {
 public:
  SiteOfMatrix(const Matrix& matrix, int site, std::size_t features) : matrix_(matrix), site_(site), features_(features) {}
  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    for (std::size_t s = 0; s < matrix_.subjects.size(); ++s) {
      if (matrix_.SiteOfSubject(s) == site_) ATTUNE_RETURN_IF_ERROR(visit(matrix_.At(s, features_)));
    }
    return absl::OkStatus();
  }

 private:
  const Matrix& matrix_;
  int site_;
  std::size_t features_;
};

Matrix OfFile(const std::string& path, std::size_t subjects) {
  const std::shared_ptr<const MappedFile> file = OrFail(MappedFile::Open(path));
  const std::size_t values = file->bytes().size() / sizeof(double);
  // In memory, as sva has it: not mapped.
  auto copy = std::make_shared<std::vector<double>>(values);
  std::memcpy(copy->data(), file->bytes().data(), values * sizeof(double));
  Matrix matrix;
  for (std::size_t s = 0; s < subjects; ++s) {
    matrix.subjects.push_back(std::span<const double>(*copy).subspan(s * (values / subjects), values / subjects));
  }
  matrix.owner = copy;
  return matrix;
}

// A value that looks like a normal one, made fast from its place: the made-up images are as large as real ones.
double MadeUp(std::size_t subject, std::size_t feature) {
  std::uint64_t bits = (subject * 0x9E3779B97F4A7C15u) ^ (feature * 0xD1B54A32D192ED03u);
  bits = (bits ^ (bits >> 29)) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ (bits >> 32)) * 0x94D049BB133111EBu;
  double sum = 0;
  for (int k = 0; k < 4; ++k) sum += static_cast<double>((bits >> (16 * k)) & 0xFFFF) / 65536;
  return sum - 2;
}

Matrix MadeUpMatrix(std::size_t subjects, std::size_t features) {
  auto values = std::make_shared<std::vector<double>>(subjects * features);
  Matrix matrix;
  for (std::size_t s = 0; s < subjects; ++s) {
    const int site = static_cast<int>(s * kSites / subjects);
    for (std::size_t f = 0; f < features; ++f) {
      (*values)[s * features + f] =
          0.5 + 0.02 * MadeUp(1000 + static_cast<std::size_t>(site), f) + 0.05 * (1 + 0.1 * site) * MadeUp(s, f);
    }
    matrix.subjects.push_back(std::span<const double>(*values).subspan(s * features, features));
  }
  matrix.owner = values;
  return matrix;
}

using Clock = std::chrono::steady_clock;
enum Phase { kAnswer, kEstimate, kFit, kApply, kPhases };
using Seconds = std::array<double, kPhases>;
double Total(const Seconds& seconds) { return seconds[0] + seconds[1] + seconds[2] + seconds[3]; }

// FNV-1a over words: shows that threads change no byte of the result.
void Digest(std::span<const double> values, std::uint64_t* digest) {
  for (const double value : values) {
    std::uint64_t word;
    std::memcpy(&word, &value, sizeof(word));
    *digest = (*digest ^ word) * 0x100000001B3u;
  }
}

// One whole study. `digest` (null: none), of all results in order, is not timed.
Seconds RunStudy(const Matrix& matrix, std::size_t features, int threads, std::uint64_t* digest) {
  const Method& method = CombatMethod();
  const StudyFacts facts = FactsOf(features, kSites);
  Seconds seconds{};
  auto last = Clock::now();
  const auto lap = [&](Phase phase) {
    const auto now = Clock::now();
    seconds[phase] += std::chrono::duration<double>(now - last).count();
    last = now;
  };
  const Question question = OrFail(method.Begin(facts));
  std::map<BatchId, Summary> filled;
  for (int site = 0; site < kSites; ++site) {
    filled.merge(
        OrFail(AnswerQuestion(method, facts, question, {SiteBatch(site)}, SiteOfMatrix(matrix, site, features), {}, threads)));
  }
  lap(kAnswer);
  const Answers answers = OrFail(AddUp(question.form, facts.release, std::move(filled)));
  const Correction correction = std::get<Correction>(OrFail(method.Next(facts, question, answers, threads)));
  lap(kEstimate);
  std::map<BatchId, BatchModel> models;
  for (const BatchId& batch : facts.batches) {
    models[batch] = OrFail(method.Fit(facts, correction, batch, answers.by_batch.at(batch), threads));
  }
  lap(kFit);
  // As a site does it: each thread has a subject, and memory for one.
  std::atomic<std::size_t> next{0};
  ParallelFor(static_cast<std::size_t>(threads), threads, [&](std::size_t) {
    std::vector<double> out(features);
    for (std::size_t s = next++; s < matrix.subjects.size(); s = next++) {
      const Subject subject = matrix.At(s, features);
      if (absl::Status status = method.Apply(models.at(subject.batch), subject, out); !status.ok()) Fail(status);
    }
  });
  lap(kApply);
  if (digest != nullptr) {
    *digest = 0xCBF29CE484222325u;
    for (const auto& [batch, summary] : answers.by_batch) Digest(summary.values(), digest);
    Digest(correction.common.values(), digest);
    Digest(correction.evidence.values(), digest);
    for (const auto& [batch, blocks] : correction.by_batch) Digest(blocks.values(), digest);
    for (const auto& [batch, model] : models) Digest(model.parameters.values(), digest);
    std::vector<double> out(features);
    for (std::size_t s = 0; s < matrix.subjects.size(); ++s) {
      const Subject subject = matrix.At(s, features);
      if (absl::Status status = method.Apply(models.at(subject.batch), subject, out); !status.ok()) Fail(status);
      Digest(out, digest);
    }
  }
  return seconds;
}

// Of several runs the fastest.
Seconds FastestStudy(const Matrix& matrix, std::size_t features, int threads, std::uint64_t* digest) {
  Seconds best = RunStudy(matrix, features, threads, digest);
  const int runs = features < 100000 ? 10 : 4;
  for (int run = 0; run < runs; ++run) {
    const Seconds seconds = RunStudy(matrix, features, threads, nullptr);
    if (Total(seconds) < Total(best)) best = seconds;
  }
  return best;
}

int Study(int argc, char** argv) {
  const bool real = argc == 4;
  const std::size_t subjects = real ? std::strtoull(argv[3], nullptr, 10) : 48;
  if (subjects < kSites * 10) Fail(absl::InvalidArgumentError("expected at least 40 subjects"));
  const Matrix made_up = MadeUpMatrix(subjects, 1000000);
  const Matrix matrix = real ? OfFile(argv[2], subjects) : made_up;
  const std::size_t all = matrix.subjects[0].size();
  std::printf("A study of %zu subjects in %d sites in memory, %s; milliseconds, fastest of several runs\n", subjects, kSites,
              real ? "of the given file and made up" : "made up");
  std::printf("%10s %8s %9s %9s %9s %9s %9s %14s %10s  %s\n", "features", "threads", "answer", "estimate", "fit", "apply",
              "all", "ns per value", "speed-up", "digest");
  const auto row = [&](const Matrix& of, std::size_t features) {
    double one_thread = 0;
    for (const int threads : {1, 2}) {
      std::uint64_t digest = 0;
      const Seconds seconds = FastestStudy(of, features, threads, &digest);
      if (threads == 1) one_thread = Total(seconds);
      std::printf("%10zu %8d", features, threads);
      for (const double phase : seconds) std::printf(" %9.1f", 1e3 * phase);
      std::printf(" %9.1f %14.2f %10.2f  %016llx\n", 1e3 * Total(seconds),
                  1e9 * Total(seconds) / static_cast<double>(features * subjects), one_thread / Total(seconds),
                  static_cast<unsigned long long>(digest));
      std::fflush(stdout);
      if (real && &of == &matrix && threads == 2) std::printf("seconds_of_file %.4f\n", Total(seconds));
    }
  };
  for (const std::size_t features : {10000, 30000, 100000, 300000, 1000000}) row(made_up, features);
  if (real) row(matrix, all);
  return 0;
}

double PrivateMiB() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string line;
  double kib = 0;
  while (std::getline(file, line)) {
    if (line.rfind("Private_Clean:", 0) == 0 || line.rfind("Private_Dirty:", 0) == 0) kib += std::atof(line.c_str() + 14);
  }
  return kib / 1024;
}

// Subjects that are made when they are asked for, in one of the buffers that readers would fill.
class MadeUpCohort : public Cohort {
 public:
  MadeUpCohort(std::size_t subjects, std::size_t features, int covariates, int readers)
      : subjects_(subjects),
        covariates_(static_cast<std::size_t>(covariates)),
        buffers_(static_cast<std::size_t>(readers) + 1, std::vector<double>(features)) {}
  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override {
    for (std::size_t s = 0; s < subjects_; ++s) {
      std::vector<double>& values = buffers_[s % buffers_.size()];
      for (std::size_t f = 0; f < values.size(); ++f) values[f] = MadeUp(s, f);
      std::vector<double> x(covariates_);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = MadeUp(s, 1 + i);
      const std::string id = absl::StrCat("sub-", s);
      ATTUNE_RETURN_IF_ERROR(visit({id, id, SiteBatch(0), true, x, values}));
    }
    return absl::OkStatus();
  }

 private:
  std::size_t subjects_;
  std::size_t covariates_;
  mutable std::vector<std::vector<double>> buffers_;
};

// The highest that a thread of its own sees while one site answers.
double PeakOfAnswer(std::size_t subjects, std::size_t features, int covariates, int threads) {
  StudyFacts facts = FactsOf(features, 1);
  for (int i = 0; i < covariates; ++i) facts.covariates.push_back({absl::StrCat("x", i), "", {}});
  std::atomic<bool> done{false};
  double peak = 0;
  std::thread watcher([&] {
    while (!done) {
      peak = std::max(peak, PrivateMiB());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  {
    const MadeUpCohort cohort(subjects, features, covariates, threads);
    const Question question = OrFail(CombatMethod().Begin(facts));
    OrFail(AnswerQuestion(CombatMethod(), facts, question, facts.batches, cohort, {}, threads));
  }
  done = true;
  watcher.join();
  return peak;
}

int Memory() {
  constexpr std::size_t kFeatures = 600000;
  constexpr int kThreads = 2;
  std::printf("Private memory of a site's pass over images of %zu voxels, %d threads; MiB\n", kFeatures, kThreads);
  std::printf("%10s %10s %10s %10s %12s\n", "covariates", "subjects", "peak", "bound", "peak/bound");
  for (const int covariates : {0, 3}) {
    const double bound =
        64 + (8.0 * kFeatures * (covariates + 4) + (kThreads + 1) * sizeof(float) * static_cast<double>(kFeatures)) / kMiB;
    for (const std::size_t subjects : {12, 48, 192}) {
      std::fflush(stdout);
      // A process of its own: nothing is left of the one before.
      const pid_t child = ::fork();
      if (child == 0) {
        const double peak = PeakOfAnswer(subjects, kFeatures, covariates, kThreads);
        std::printf("%10d %10zu %10.1f %10.1f %12.2f\n", covariates, subjects, peak, bound, peak / bound);
        std::fflush(stdout);
        ::_exit(0);
      }
      int status = 0;
      if (child < 0 || ::waitpid(child, &status, 0) < 0 || status != 0) Fail(absl::InternalError("a pass has failed"));
    }
  }
  return 0;
}

int Raw(int argc, char** argv) {
  const Mask mask = OrFail(Mask::Open(argv[2]));
  std::ofstream out(argv[3], std::ios::binary);
  NiftiImage image;
  std::vector<double> values(mask.voxels());
  for (int i = 4; i < argc; ++i) {
    if (absl::Status status = ReadNifti(argv[i], &mask.grid(), &image); !status.ok()) Fail(status);
    Gather(image, mask.runs(), values);
    out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(double)));
  }
  if (!out.flush()) Fail(absl::InternalError(absl::StrCat("cannot write '", argv[3], "'")));
  return 0;
}

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "raw" && argc > 4) return Raw(argc, argv);
  if (mode == "study" && (argc == 2 || argc == 4)) return Study(argc, argv);
  if (mode == "memory" && argc == 2) return Memory();
  std::cerr << "usage: attune_voxel_bench raw MASK OUT IMAGE... | study [RAW SUBJECTS] | memory\n";
  return 2;
}

}  // namespace
}  // namespace attune::testing

int main(int argc, char** argv) { return attune::testing::Main(argc, argv); }

// SPDX-License-Identifier: Apache-2.0
//
// What the coordinator of a large study of images does when the last answer is in, on made-up answers of one batch per site
// (3 covariates, per_batch): the pass that sums, against `cat` of the same files in the same state of the cache, and then the
// whole outcome of the round. Prints times, the size of an answer, and the most private memory that was resident
// (Private_Clean + Private_Dirty of smaps_rollup). Writes about 8 F (p + 2) bytes per site, twice as much for a moment, and
// removes them.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/kernel/fold.h"
#include "common/methods/combat/combat.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "coordinator/round_outcome.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Eigen::Index;

constexpr int kCovariates = 3;
constexpr double kSubjects = 50;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The most private memory that was resident in each phase, looked at every 50 ms (a look takes some itself).
class MemoryWatch {
 public:
  MemoryWatch() : thread_([this] { Watch(); }) {}
  ~MemoryWatch() {
    end_ = true;
    thread_.join();
  }
  void Enter(std::size_t phase) { phase_ = phase; }
  double MostMib(std::size_t phase) const { return static_cast<double>(most_[phase]) / 1024; }

  static long PrivateKib() {
    std::ifstream in("/proc/self/smaps_rollup");
    long sum = 0;
    for (std::string line; std::getline(in, line);) {
      long kib = 0;
      if (std::sscanf(line.c_str(), "Private_Clean: %ld", &kib) == 1) sum += kib;
      if (std::sscanf(line.c_str(), "Private_Dirty: %ld", &kib) == 1) sum += kib;
    }
    return sum;
  }

 private:
  void Watch() {
    while (!end_) {
      const std::size_t phase = phase_;
      const long now = PrivateKib();
      if (now > most_[phase]) most_[phase] = now;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  std::array<std::atomic<long>, 4> most_{};
  std::atomic<std::size_t> phase_{0};
  std::atomic<bool> end_{false};
  std::thread thread_;  // last: it uses the others
};

// ComBat, telling when its step begins and ends.
class WatchedMethod : public Method {
 public:
  explicit WatchedMethod(MemoryWatch* watch) : watch_(watch) {}
  const MethodInfo& info() const override { return CombatMethod().info(); }
  absl::StatusOr<Question> Begin(const StudyFacts& facts) const override { return CombatMethod().Begin(facts); }
  absl::StatusOr<std::variant<Question, Correction>> Next(const StudyFacts& facts, const Question& question,
                                                          const Answers& answers, int threads) const override {
    begin = Clock::now();
    watch_->Enter(2);
    auto next = CombatMethod().Next(facts, question, answers, threads);
    end = Clock::now();
    watch_->Enter(3);
    return next;
  }
  absl::StatusOr<std::unique_ptr<Accumulator>> Answer(const StudyFacts&, const Question&, const BatchId&, const SiteState&,
                                                      const AnswerOptions&) const override {
    return absl::UnimplementedError("only the coordinator's steps are measured");
  }
  absl::StatusOr<BatchModel> Fit(const StudyFacts& facts, const Correction& correction, const BatchId& batch,
                                 const Summary& own, int threads) const override {
    return CombatMethod().Fit(facts, correction, batch, own, threads);
  }
  absl::Status Apply(const BatchModel& model, const Subject& subject, std::span<double> out) const override {
    return CombatMethod().Apply(model, subject, out);
  }

  mutable Clock::time_point begin;
  mutable Clock::time_point end;

 private:
  MemoryWatch* watch_;
};

v1::Manifest MakeManifest(int sites, int features) {
  v1::Manifest manifest;
  manifest.set_protocol(1);
  manifest.set_consortium("bench");
  manifest.set_method("combat/1");
  manifest.set_voxels(static_cast<std::uint64_t>(features));
  v1::StudyConfig& config = *manifest.mutable_config();
  config.set_study("bench");
  config.set_release(v1::RELEASE_PER_BATCH);
  config.mutable_features()->mutable_images()->set_mask("mask.nii.gz");
  config.mutable_method()->mutable_combat()->set_prior(v1::PRIOR_PARAMETRIC);
  for (int c = 0; c < kCovariates; ++c) {
    v1::CovariateConfig* covariate = config.add_covariates();
    covariate->set_name(absl::StrFormat("x%d", c));
    covariate->set_type(v1::COVARIATE_TYPE_CONTINUOUS);
  }
  for (int s = 0; s < sites; ++s) {
    v1::RosterSite* site = manifest.add_roster();
    site->set_site(absl::StrFormat("site%04d", s));
    site->add_batches("all");
  }
  return manifest;
}

// The filled form that 50 subjects of a batch could give: y = 100 + 2 x0 + shift + scale * noise. Every site has some
// features that do not vary there.
Summary MakeAnswer(const Form& form, int site) {
  Dice dice(static_cast<std::uint64_t>(site) + 1);
  Summary answer = Summary::Zero(form);
  answer.Mutable("n")(0, 0) = kSubjects;
  Eigen::Vector3d x_mean;
  Eigen::Matrix3d xx;
  for (int i = 0; i < kCovariates; ++i) {
    x_mean[i] = dice.Normal();
    for (int j = 0; j < kCovariates; ++j) xx(i, j) = i == j ? 49 : 4.9;
  }
  answer.Mutable("x_sum") = kSubjects * x_mean;
  answer.Mutable("xx") = xx.reshaped();
  auto y_sum = answer.Mutable("y_sum");
  auto xy = answer.Mutable("xy");
  auto yy = answer.Mutable("yy");
  auto constant = answer.Mutable("constant");
  const double shift = dice.Normal();
  const double scale = 0.7 + 0.6 * dice.Uniform();
  // Of variance 1; the shape does not matter here.
  const auto noise = [&dice] { return 3.4641 * (dice.Uniform() - 0.5); };
  for (Index f = 0; f < y_sum.cols(); ++f) {
    if (f % 100000 == site) {
      constant(0, f) = 1;
      continue;
    }
    const Eigen::Vector3d beta(2 + 0.1 * noise(), 0.1 * noise(), 0.1 * noise());
    const double sd = scale * (1 + 0.2 * noise());
    y_sum(0, f) = kSubjects * (100 + beta.dot(x_mean) + shift + 0.3 * noise());
    xy.col(f) = xx * beta;
    yy(0, f) = beta.dot(xx * beta) + (kSubjects - 1) * sd * sd;
  }
  return answer;
}

// How long `cat` takes to read the files.
absl::StatusOr<double> SecondsOfCat(const std::vector<std::string>& paths) {
  std::vector<char*> words = {const_cast<char*>("cat"), const_cast<char*>("--")};
  for (const std::string& path : paths) words.push_back(const_cast<char*>(path.c_str()));
  words.push_back(nullptr);
  const Clock::time_point start = Clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::execvp("cat", words.data());
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) return absl::InternalError("'cat' failed");
  return SecondsSince(start);
}

// Takes the files out of the cache, so that they are read from the disk.
void Forget(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::fsync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

struct Study {
  v1::Manifest manifest;
  StudyFacts facts;
  StudyStatus status;
  Question question;
  BlobStore blobs;
  std::vector<std::string> paths;  // of the answers, in the order of sites

  absl::StatusOr<std::map<BatchId, Summary>> Open() const {
    std::map<BatchId, Summary> parts;
    for (const std::string& path : paths) {
      ATTUNE_ASSIGN_OR_RETURN(Bundle bundle, OpenPackedAnswer(path, {"", 0, ""}, BundleValues::kKnown));
      parts.merge(bundle.parts);
    }
    return parts;
  }
};

// Puts the answers of all sites among the blobs.
absl::StatusOr<Study> MakeStudy(int sites, int features, const std::string& folder) {
  ATTUNE_ASSIGN_OR_RETURN(BlobStore blobs, BlobStore::Open(folder + "/blobs"));
  Study study{MakeManifest(sites, features), {}, {}, {}, std::move(blobs), {}};
  study.facts = FactsOf(study.manifest);
  const std::string bytes = CanonicalBytes(study.manifest);
  StudyStatus& status = study.status;
  status.name = "bench";
  status.config = study.manifest.config();
  ATTUNE_ASSIGN_OR_RETURN(status.manifest_sha256, StoreBytes(study.blobs, bytes));
  ATTUNE_ASSIGN_OR_RETURN(study.question, CombatMethod().Begin(study.facts));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> asked,
                          FirstQuestion("bench", status.manifest_sha256, study.manifest, CombatMethod(), study.blobs));
  RoundRecord& round = status.rounds.emplace_back();
  round.question_sha256 = asked.front().blob;
  for (int s = 0; s < sites; ++s) {
    const v1::RosterSite& site = study.manifest.roster(s);
    status.sites[site.site()].labels = {site.batches().begin(), site.batches().end()};
    const std::string scratch = study.blobs.ScratchPath("answer");
    ATTUNE_ASSIGN_OR_RETURN(round.answers[site.site()],
                            WriteAnswer(scratch, {status.manifest_sha256, 1, round.question_sha256},
                                        {{MakeBatchId(site.site(), "all"), MakeAnswer(study.question.form, s)}}));
    ATTUNE_RETURN_IF_ERROR(study.blobs.Adopt(scratch, round.answers[site.site()]));
    study.paths.push_back(study.blobs.PathOf(round.answers[site.site()]));
  }
  return study;
}

absl::Status CompareSumWithCat(const Study& study, bool cached) {
  const int runs = cached ? 3 : 1;
  double cat = 1e9;
  double sum = 1e9;
  const int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int run = 0; run < runs; ++run) {
    if (!cached) Forget(study.paths);
    ATTUNE_ASSIGN_OR_RETURN(const double seconds, SecondsOfCat(study.paths));
    cat = std::min(cat, seconds);
    if (!cached) Forget(study.paths);
    const Clock::time_point start = Clock::now();
    ATTUNE_ASSIGN_OR_RETURN(auto parts, study.Open());
    ATTUNE_RETURN_IF_ERROR(AddUp(study.question.form, Release::kPerBatch, std::move(parts), threads).status());
    sum = std::min(sum, SecondsSince(start));
  }
  absl::PrintF("%-28s %10.3f s   cat %.3f s   ratio %.2f (at most 2)\n", cached ? "sum, files in cache" : "sum, files on disk",
               sum, cat, sum / cat);
  return absl::OkStatus();
}

absl::Status Run(int sites, int features, const std::string& folder) {
  absl::PrintF("coordinator: %d sites x %d features, p = %d, per_batch\n", sites, features, kCovariates);
  ATTUNE_ASSIGN_OR_RETURN(const Study study, MakeStudy(sites, features, folder));
  ATTUNE_ASSIGN_OR_RETURN(const std::uint64_t bytes, study.blobs.SizeOf(study.status.rounds[0].answers.begin()->second));
  absl::PrintF("%-28s %10d bytes   %.4f x 8 F (p + 2) (at most 1.02 from 100,000 features on)\n", "answer of a batch", bytes,
               static_cast<double>(bytes) / (8.0 * features * (kCovariates + 2)));
  ATTUNE_RETURN_IF_ERROR(CompareSumWithCat(study, false));
  ATTUNE_RETURN_IF_ERROR(CompareSumWithCat(study, true));

  ATTUNE_ASSIGN_OR_RETURN(const BlobStore out, BlobStore::Open(folder + "/out"));
  MemoryWatch watch;
  const WatchedMethod method(&watch);
  const long before = MemoryWatch::PrivateKib();
  watch.Enter(1);
  const Clock::time_point start = Clock::now();
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries,
                          OutcomeOfRound(study.status, study.manifest, method, 1, study.blobs, out));
  const double written = SecondsSince(method.end);
  watch.Enter(0);
  if (entries.empty() || entries.front().kind != entry::kCorrected) {
    return absl::InternalError("the made-up study has no correction: " + (entries.empty() ? "" : entries.front().body));
  }
  const auto seconds = [](Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); };
  const double next = seconds(method.begin, method.end);
  absl::PrintF("%-28s %10.3f s\n", "gather: digests and sum", seconds(start, method.begin));
  absl::PrintF("%-28s %10.3f s   %.0f ns per feature and batch\n", "check, fit, evidence", next, 1e9 * next / sites / features);
  absl::PrintF("%-28s %10.3f s\n", "write", written);
  absl::PrintF("%-28s %10.0f MiB   (at the start %.0f; gather %.0f, fit %.0f, write %.0f; at most 512)\n",
               "private memory, resident", std::max({watch.MostMib(1), watch.MostMib(2), watch.MostMib(3)}),
               static_cast<double>(before) / 1024, watch.MostMib(1), watch.MostMib(2), watch.MostMib(3));
  return absl::OkStatus();
}

}  // namespace
}  // namespace attune::testing

int main(int argc, char** argv) {
  int sites = 200;
  int features = 1'000'000;
  if (argc > 3 || (argc > 1 && !absl::SimpleAtoi(argv[1], &sites)) || (argc > 2 && !absl::SimpleAtoi(argv[2], &features)) ||
      sites < 1 || features < 1) {
    std::cerr << "usage: " << argv[0] << " [SITES [FEATURES]]\nWrites to TMPDIR.\n";
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // minutes pass between lines
  const attune::testing::TempFolder folder;
  if (const absl::Status status = attune::testing::Run(sites, features, folder.path()); !status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }
  return 0;
}

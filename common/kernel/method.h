// SPDX-License-Identifier: Apache-2.0
//
// What a harmonization method is. A study is a fold: Begin -> (Answer* -> add -> Next)* -> Correction -> Fit -> Apply; the
// method is its pure step function. Methods are const, stateless and thread-safe: all state is in the arguments. They never see
// transport, storage or files.
#ifndef ATTUNE_COMMON_KERNEL_METHOD_H_
#define ATTUNE_COMMON_KERNEL_METHOD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kernel/batch_id.h"
#include "common/kernel/blocks.h"
#include "common/kernel/cohort.h"
#include "common/kernel/study_facts.h"

namespace attune {

// What the coordinator asks in one round.
struct Question {
  std::uint32_t round = 1;  // counted from 1
  Form form;                // what every batch has to fill
  Blocks body;              // what the answer depends on: pooled parameters of earlier rounds; empty in round 1
};

// What came back. Batches are summed site by site, sites in order of name: `pooled` has the same bytes under both releases.
// Single answers may be views of files, larger together than memory: a method takes them one after the other, or in tiles of
// columns, and lets go of each (Blocks::Evict). Their counts may be packed: read those by Columns.
struct Answers {
  Summary pooled;
  std::map<BatchId, Summary> by_batch;  // empty when the release is pooled
};

// What the method found, in the units of the data.
struct Correction {
  Blocks common;                       // the pooled parameters: every site gets them
  std::map<BatchId, Blocks> by_batch;  // location and scale of each batch: a site gets its own; empty when pooled
  Blocks evidence;                     // per-feature figures "did it help"; stays at the coordinator
  // Sentences for people: features left as they are, rules that applied. Every site gets them, so they tell nothing of any one
  // batch.
  std::vector<std::string> notes;
  // Sentences on single batches, each naming its batch; empty when pooled. They stay at the coordinator.
  std::vector<std::string> batch_notes;
};

// What a site has of the rounds before: the filled forms of this batch, in order of round.
struct SiteState {
  std::vector<Summary> earlier;
};

struct AnswerOptions {
  // Where this accumulator's first subject stands in the batch's order of ids. Shards whose borders are multiples of
  // kBlockSubjects (numeric/moments.h) merge to the same bytes as one pass.
  Eigen::Index first_subject = 0;
  int threads = 1;  // never changes a byte
};

// Collects one batch's subjects. Not thread-safe.
class Accumulator {
 public:
  virtual ~Accumulator() = default;

  // False when the answer follows from SiteState alone: the caller may then skip the pass over the data.
  virtual bool NeedsSubjects() const { return true; }

  // Fails with InvalidArgument, changing nothing, when the subject has not p covariates and F values, or when a value is
  // infinite, or missing where the study does not allow it.
  virtual absl::Status Add(const Subject& subject) = 0;

  // Takes in what `later`, of the same method, question and batch, collected from the subjects that follow. Fails with
  // InvalidArgument when `later` is another kind of accumulator.
  virtual absl::Status Merge(Accumulator&& later) = 0;

  // The filled form. Consumes the accumulator. Fails with FailedPrecondition when the batch may not answer (too few subjects).
  virtual absl::StatusOr<Summary> Finish() && = 0;
};

// One batch's correction, ready to apply and to save. Holds nothing of any one person.
struct BatchModel {
  BatchId batch;
  Blocks parameters;
  std::vector<std::string> notes;
};

// What a method tells of itself, for policies, manifests and documentation.
struct MethodInfo {
  std::string id;         // "<name>/<version of its arithmetic>"; the version changes when results do
  std::string summary;    // one sentence
  std::string reference;  // the paper
  std::string question;   // what a question's body may ask, in words
};

class Method {
 public:
  virtual ~Method() = default;
  virtual const MethodInfo& info() const = 0;

  // Coordinator. The first question. Fails with InvalidArgument when the options do not fit the study.
  virtual absl::StatusOr<Question> Begin(const StudyFacts& facts) const = 0;

  // Coordinator. The next question, or the end. Fails with InvalidArgument when the question or an answer does not have the
  // form that it must have, and with FailedPrecondition when the data cannot be harmonized (naming columns, and under per_batch
  // batches).
  // `threads` never changes a byte, here and in Fit.
  virtual absl::StatusOr<std::variant<Question, Correction>> Next(const StudyFacts& facts, const Question& question,
                                                                  const Answers& answers, int threads = 1) const = 0;

  // Site. Fails with InvalidArgument when the question is not one of this method's.
  virtual absl::StatusOr<std::unique_ptr<Accumulator>> Answer(const StudyFacts& facts, const Question& question,
                                                              const BatchId& batch, const SiteState& state,
                                                              const AnswerOptions& options) const = 0;

  // Site, and coordinator under per_batch. The model of `batch` from the pooled parameters and the batch's own filled form of
  // round 1. When the correction holds this batch, it must agree with the fit to 1e-9: fails with DataLoss when it does not.
  virtual absl::StatusOr<BatchModel> Fit(const StudyFacts& facts, const Correction& correction, const BatchId& batch,
                                         const Summary& own, int threads = 1) const = 0;

  // Site. Writes the subject's F harmonized values; a missing value stays missing. Fails with InvalidArgument when sizes
  // differ.
  virtual absl::Status Apply(const BatchModel& model, const Subject& subject, std::span<double> out) const = 0;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_METHOD_H_

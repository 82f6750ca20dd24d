// SPDX-License-Identifier: Apache-2.0
//
// The folder that attune-simulate writes for people. Everything is made in its `work` folder first and moved out at the end, so
// that a run that fails leaves what an earlier one wrote.
#ifndef ATTUNE_COORDINATOR_SIMULATE_RESULTS_H_
#define ATTUNE_COORDINATOR_SIMULATE_RESULTS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/outputs.pb.h"

namespace attune {

class ResultsFolder {
 public:
  // `outputs`: names of the files and folders that a run leaves in the folder `path`.
  ResultsFolder(std::string path, std::vector<std::string> outputs) : path_(std::move(path)), outputs_(std::move(outputs)) {}

  // Makes the folder and its work folder, empty. Fails with AlreadyExists when an output is there and not `force`, or, even so,
  // when it, by name, is not the work of an earlier run; and with InvalidArgument when the path is no folder, or one of
  // `inputs` lies in what would be replaced.
  absl::Status Begin(const std::vector<std::string>& inputs, bool force);

  std::string work() const { return path_ + "/work"; }
  // Where an output is made.
  std::string Staged(const std::string& output) const { return work() + "/results/" + output; }

  // Moves what was made into its place. An output that was not made is removed. When that fails half-way, what is new and what
  // was there before stay in the work folder, and the message says so.
  absl::Status Publish();

  // Removes the work folder unless `keep`, and a folder that Begin made and that nothing was published into.
  void CleanUp(bool keep);

 private:
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  absl::Status WriteMarker() const;

  const std::string path_;
  const std::vector<std::string> outputs_;
  std::set<std::string> ours_;  // what attune-simulate made in the folder, as the marker file says
  bool made_folder_ = false;
  bool publishing_ = false;
};

// The sidecar of the table that puts the sites' tables together again: what theirs have in common, their batches and subjects.
// Fails with InvalidArgument when they are not of one study.
absl::StatusOr<v1::Sidecar> JoinSidecars(const std::vector<v1::Sidecar>& sites);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_RESULTS_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SIMULATE_GATHER_H_
#define ATTUNE_COORDINATOR_SIMULATE_GATHER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/outputs.pb.h"
#include "coordinator/simulate/consortium.h"
#include "coordinator/simulate/results.h"
#include "coordinator/simulate/split.h"

namespace attune {

// The tables of a data set.
std::vector<std::string> InputsOf(const DataSet& data);

// Puts what a finished run leaves for people from the consortium's folders into `results`; large files get a second name there
// where the file system can. Returns what `study show` tells. Fails with Internal when something cannot be written, and as the
// coordinator's commands do.
absl::StatusOr<v1::StudyView> Gather(const ResultsFolder& results, const DataSet& data, Consortium& consortium,
                                     const v1::StudyConfig& config, const std::vector<std::string>& sites);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_GATHER_H_

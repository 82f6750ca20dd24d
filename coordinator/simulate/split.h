// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SIMULATE_SPLIT_H_
#define ATTUNE_COORDINATOR_SIMULATE_SPLIT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attune {

// One data set that is split into sites.
struct DataSet {
  std::string participants;           // with the columns participant_id and site_column
  std::vector<std::string> features;  // one table or several, joined by participant; none where there are images
  std::string images;                 // the folder from which the column "image" of participants counts
  std::string site_column = "site";
  bool allow_harmonized_input = false;  // --force: split a table that carries our sidecar
};

// Gives each site its rows: <folder>/<site>/participants.tsv and features-<k>.tsv, readable by the owner only (of images
// links in images/), and a site.yaml.
// Returns the sites' names, sorted. Fails with InvalidArgument (file, line, column) when a site is missing or its name is not a
// plain name, when a person is there twice, when a feature row is of nobody, or when a table was harmonized already.
absl::StatusOr<std::vector<std::string>> SplitBySite(const DataSet& data, const std::string& folder);

// Puts the sites' harmonized tables together again in the order of rows of the first features table (with images, of
// participants), at `path`. `tables`: by site.
absl::Status JoinSites(const DataSet& data, const std::map<std::string, std::string>& tables, const std::string& path);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_SPLIT_H_

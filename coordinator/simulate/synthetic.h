// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_H_
#define ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/simulate/split.h"

namespace attune {

// A made-up consortium whose truth is known: 4 sites, two of them with two scanners, cortical thickness of 40 regions that
// falls with age and differs by sex, and a location and scale of its own for each scanner. The same seed gives the same bytes.
class SyntheticConsortium {
 public:
  explicit SyntheticConsortium(std::uint64_t seed);

  // Writes participants.tsv, thickness.tsv and study.yaml into `folder`.
  absl::Status Write(const std::string& folder) const;
  static DataSet DataIn(const std::string& folder);
  static std::string StudyFileIn(const std::string& folder) { return folder + "/study.yaml"; }

  // The true and the recovered effects as a table for people: location and scale per scanner, and the age effect, before and
  // after harmonization. `harmonized`: the table that came back.
  absl::StatusOr<std::string> Compare(const std::string& harmonized) const;

 private:
  struct Scanner {
    const char* site;
    const char* name;
    int subjects;
    double youngest;  // years
    double oldest;
    double location;  // mm, on average over regions
    double scale;     // times the residual standard deviation
  };
  struct Person {
    std::string id;
    std::size_t scanner;
    double age;
    bool male;
    std::vector<double> expected;   // mm: without noise and without scanner
    std::vector<double> thickness;  // mm: as measured
  };

  static const std::vector<Scanner>& Scanners();
  // Location and scale of each scanner relative to the subjects' average, and the age effect, in `values` (person by person,
  // region by region).
  struct Effects {
    std::vector<double> location;  // mm
    std::vector<double> scale;
    double age = 0;  // mm per year, on average over regions
  };
  Effects Measure(const std::vector<std::vector<double>>& values) const;

  std::vector<std::string> regions_;
  double mean_age_effect_ = 0;
  std::vector<Person> people_;  // in order of id
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_H_

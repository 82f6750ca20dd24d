// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/synthetic.h"

#include <Eigen/Dense>
#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/delimited.h"
#include "common/tables/tsv_writer.h"

namespace attune {
namespace {

constexpr int kRegions = 40;
constexpr double kNoise = 0.14;      // mm, residual standard deviation
constexpr double kSexEffect = 0.05;  // mm

constexpr char kStudy[] = R"(study: demo
features: {table: {columns: "*"}}
batch: scanner
covariates:
  - {name: age, type: continuous, unit: years}
  - {name: sex, type: categorical, levels: [F, M]}
method:
  combat: {prior: parametric}
release: per_batch
min_batch_size: 10
)";

}  // namespace

const std::vector<SyntheticConsortium::Scanner>& SyntheticConsortium::Scanners() {
  static const auto& scanners = *new std::vector<Scanner>{
      {"aachen", "prisma", 60, 20, 60, 0.00, 1.0},   {"aachen", "vida", 45, 25, 65, 0.10, 1.3},
      {"bergen", "ingenia", 50, 18, 50, -0.15, 0.8}, {"cardiff", "connectom", 40, 30, 75, 0.06, 1.6},
      {"davos", "skyra", 55, 20, 70, -0.04, 0.7},    {"davos", "mr750", 35, 40, 80, 0.18, 1.1},
  };
  return scanners;
}

SyntheticConsortium::SyntheticConsortium(std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<double> base;
  std::vector<double> age_effect;
  for (int r = 0; r < kRegions; ++r) {
    regions_.push_back(absl::StrFormat("%s_region%02d_thickness", r % 2 == 0 ? "lh" : "rh", r / 2 + 1));
    base.push_back(2.6 + 0.3 * normal(engine));
    age_effect.push_back(-0.006 + 0.002 * normal(engine));
    mean_age_effect_ += age_effect.back() / kRegions;
  }
  for (std::size_t s = 0; s < Scanners().size(); ++s) {
    const Scanner& scanner = Scanners()[s];
    std::vector<double> shift;
    for (int r = 0; r < kRegions; ++r) shift.push_back(scanner.location + 0.03 * normal(engine));
    for (int k = 0; k < scanner.subjects; ++k) {
      Person person;
      person.id = absl::StrFormat("sub-%04d", people_.size() + 1);
      person.scanner = s;
      person.age = std::round(10 * (scanner.youngest + (scanner.oldest - scanner.youngest) * uniform(engine))) / 10;
      person.male = uniform(engine) < 0.5;
      for (std::size_t r = 0; r < regions_.size(); ++r) {
        person.expected.push_back(base[r] + age_effect[r] * (person.age - 45) + (person.male ? kSexEffect : 0));
        const double measured = person.expected[r] + shift[r] + scanner.scale * kNoise * normal(engine);
        person.thickness.push_back(std::round(1000 * measured) / 1000);
      }
      people_.push_back(std::move(person));
    }
  }
}

absl::Status SyntheticConsortium::Write(const std::string& folder) const {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder, FileAccess::kShared));
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter people, TsvWriter::Create(folder + "/participants.tsv", FileAccess::kShared));
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter table, TsvWriter::Create(folder + "/thickness.tsv", FileAccess::kShared));
  people.WriteRow({"participant_id", "site", "scanner", "age", "sex"});
  std::vector<std::string> header = regions_;
  header.insert(header.begin(), "participant_id");
  table.WriteRow(header);
  for (const Person& person : people_) {
    const Scanner& scanner = Scanners()[person.scanner];
    people.WriteRow({person.id, scanner.site, scanner.name, absl::StrFormat("%.1f", person.age), person.male ? "M" : "F"});
    std::vector<std::string> cells = {person.id};
    for (const double value : person.thickness) cells.push_back(absl::StrFormat("%.3f", value));
    table.WriteRow(cells);
  }
  ATTUNE_RETURN_IF_ERROR(std::move(people).Commit());
  ATTUNE_RETURN_IF_ERROR(std::move(table).Commit());
  return WriteFileAtomically(StudyFileIn(folder), kStudy, FileAccess::kShared);
}

DataSet SyntheticConsortium::DataIn(const std::string& folder) {
  return {.participants = folder + "/participants.tsv", .features = {folder + "/thickness.tsv"}};
}

SyntheticConsortium::Effects SyntheticConsortium::Measure(const std::vector<std::vector<double>>& values) const {
  const std::size_t scanners = Scanners().size();
  const auto people = static_cast<Eigen::Index>(people_.size());
  Effects effects{std::vector<double>(scanners), std::vector<double>(scanners), 0};
  std::vector<double> subjects(scanners);
  for (const Person& person : people_) ++subjects[person.scanner];
  Eigen::MatrixXd design(people, 3);
  for (Eigen::Index i = 0; i < people; ++i) {
    const Person& person = people_[static_cast<std::size_t>(i)];
    design.row(i) << 1, person.age, person.male ? 1.0 : 0.0;
  }
  const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> solver(design);
  for (std::size_t r = 0; r < regions_.size(); ++r) {
    Eigen::VectorXd y(people);
    std::vector<double> sum(scanners);
    std::vector<double> squares(scanners);
    for (std::size_t i = 0; i < people_.size(); ++i) {
      y[static_cast<Eigen::Index>(i)] = values[i][r];
      const double off = values[i][r] - people_[i].expected[r];
      sum[people_[i].scanner] += off;
      squares[people_[i].scanner] += off * off;
    }
    for (std::size_t s = 0; s < scanners; ++s) {
      effects.location[s] += sum[s] / subjects[s] / kRegions;
      effects.scale[s] += (squares[s] - sum[s] * sum[s] / subjects[s]) / (subjects[s] - 1) / kRegions;
    }
    effects.age += solver.solve(y)[1] / kRegions;
  }
  double average = 0;
  for (std::size_t s = 0; s < scanners; ++s) average += effects.location[s] * subjects[s] / static_cast<double>(people);
  for (std::size_t s = 0; s < scanners; ++s) {
    effects.location[s] -= average;
    effects.scale[s] = std::sqrt(effects.scale[s]) / kNoise;
  }
  return effects;
}

absl::StatusOr<std::string> SyntheticConsortium::Compare(const std::string& harmonized) const {
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile table, DelimitedFile::Open(harmonized));
  std::vector<std::vector<double>> before;
  std::vector<std::vector<double>> after;
  if (table.row_count() != people_.size())
    return absl::InvalidArgumentError(absl::StrCat(harmonized, ": not this consortium's table"));
  for (std::size_t row = 0; row < people_.size(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, table.ReadRow(row));
    if (cells[0] != people_[row].id || cells.size() != regions_.size() + 1) {
      return absl::InvalidArgumentError(absl::StrCat(table.Where(row), ": not this consortium's table"));
    }
    std::vector<double> values;
    for (std::size_t c = 1; c < cells.size(); ++c) {
      ATTUNE_ASSIGN_OR_RETURN(const double value, ParseDouble(cells[c]));
      values.push_back(value);
    }
    after.push_back(std::move(values));
    before.push_back(people_[row].thickness);
  }
  const Effects raw = Measure(before);
  const Effects left = Measure(after);
  double average = 0;
  for (const Person& person : people_) average += Scanners()[person.scanner].location / static_cast<double>(people_.size());

  std::string text =
      "True and recovered effects (mean over regions; location in mm from the subjects' average, scale as a multiple of the "
      "noise)\n\n";
  absl::StrAppendFormat(&text, "  %-20s %8s  %8s %8s %8s   %8s %8s %8s\n", "scanner", "subjects", "location", "before", "after",
                        "scale", "before", "after");
  absl::StrAppendFormat(&text, "  %-20s %8s  %8s %8s %8s   %8s %8s %8s\n", "", "", "true", "", "", "true", "", "");
  for (std::size_t s = 0; s < Scanners().size(); ++s) {
    const Scanner& scanner = Scanners()[s];
    absl::StrAppendFormat(&text, "  %-20s %8d  %+8.3f %+8.3f %+8.3f   %8.2f %8.2f %8.2f\n",
                          absl::StrCat(scanner.site, "/", scanner.name), scanner.subjects, scanner.location - average,
                          raw.location[s], left.location[s], scanner.scale, raw.scale[s], left.scale[s]);
  }
  absl::StrAppendFormat(&text, "\n  age effect, mm per year: true %+.5f, before %+.5f, after %+.5f\n", mean_age_effect_,
                        raw.age, left.age);
  return text;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/split.h"

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/tables/delimited.h"
#include "common/tables/names.h"
#include "common/tables/tsv_writer.h"
#include "common/wire/harmonized_input.h"

namespace attune {
namespace {

constexpr char kIdColumn[] = "participant_id";

struct Membership {
  std::map<std::string, std::string> site_of;  // by participant id
  std::vector<std::string> sites;              // sorted
};

absl::StatusOr<std::size_t> NeedColumn(const DelimitedFile& file, const std::string& name) {
  const std::optional<std::size_t> column = file.ColumnOf(name);
  if (column) return *column;
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": no column '", name, "'; ", SuggestNames(name, file.header())));
}

absl::StatusOr<Membership> ReadMembership(const DelimitedFile& people, const std::string& site_column) {
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t id, NeedColumn(people, kIdColumn));
  absl::StatusOr<std::size_t> site = NeedColumn(people, site_column);
  if (!site.ok()) return WithContext(site.status(), "--site-column");
  Membership membership;
  std::map<std::string, int> sites;
  for (std::size_t row = 0; row < people.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, people.ReadRow(row));
    const std::string& name = cells[*site];
    if (!IsPlainName(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          people.Where(row, *site), ": '", name, "' cannot be a site's name; use 1 to 63 letters, digits, '.', '_' or '-'"));
    }
    if (!membership.site_of.emplace(cells[id], name).second) {
      return absl::InvalidArgumentError(absl::StrCat(people.Where(row, id), ": participant '", cells[id], "' is there twice"));
    }
    ++sites[name];
  }
  for (const auto& [name, count] : sites) membership.sites.push_back(name);
  return membership;
}

// The column that says whose row it is: participant_id, or the first, as FreeSurfer's tables have it.
std::size_t IdColumnOf(const DelimitedFile& table) { return table.ColumnOf(kIdColumn).value_or(0); }

// The participant that a cell of that column means, or nothing. FreeSurfer writes folders.
const std::string* ParticipantOf(const Membership& membership, absl::string_view cell) {
  cell = absl::StripSuffix(cell, "/");
  const absl::string_view last =
      cell.substr(cell.find_last_of('/') == absl::string_view::npos ? 0 : cell.find_last_of('/') + 1);
  for (const std::string& id : {std::string(cell), std::string(last), absl::StrCat("sub-", last)}) {
    const auto found = membership.site_of.find(id);
    if (found != membership.site_of.end()) return &found->first;
  }
  return nullptr;
}

// One writer per site, all with the header of `table`.
absl::StatusOr<std::map<std::string, TsvWriter>> Writers(const DelimitedFile& table, const Membership& membership,
                                                         const std::string& folder, const std::string& name) {
  std::map<std::string, TsvWriter> writers;
  for (const std::string& site : membership.sites) {
    ATTUNE_ASSIGN_OR_RETURN(TsvWriter writer,
                            TsvWriter::Create(absl::StrCat(folder, "/", site, "/", name), FileAccess::kOwnerOnly));
    writer.WriteRow(table.header());
    writers.emplace(site, std::move(writer));
  }
  return writers;
}

absl::Status CommitAll(std::map<std::string, TsvWriter>&& writers) {
  for (auto& [site, writer] : writers) ATTUNE_RETURN_IF_ERROR(std::move(writer).Commit());
  return absl::OkStatus();
}

}  // namespace

namespace {

// Links to each site's images, so that its agent sees no others.
absl::Status LinkImages(const DataSet& data, const DelimitedFile& people, const Membership& membership,
                        const std::string& folder) {
  namespace fs = std::filesystem;
  ATTUNE_ASSIGN_OR_RETURN(const std::size_t column, NeedColumn(people, "image"));
  const std::size_t id_column = *people.ColumnOf(kIdColumn);
  for (std::size_t row = 0; row < people.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, people.ReadRow(row));
    if (IsMissing(cells[column])) continue;
    const fs::path name = fs::path(cells[column]).lexically_normal();
    if (name.is_absolute() || name.begin()->native() == "..") {
      return absl::InvalidArgumentError(absl::StrCat(people.Where(row, column), ": '", cells[column],
                                                     "' is not in the folder of images, '", data.images, "'"));
    }
    const fs::path link = fs::path(folder) / membership.site_of.at(cells[id_column]) / "images" / name;
    ATTUNE_RETURN_IF_ERROR(MakeFolder(link.parent_path().string(), FileAccess::kOwnerOnly));
    std::error_code error;
    fs::create_symlink(fs::absolute(fs::path(data.images) / name), link, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat(people.Where(row, column), ": cannot link '", cells[column], "': ", error.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitBySite(const DataSet& data, const std::string& folder) {
  for (const std::string& table : data.features) {
    const std::optional<std::string> study = HarmonizedInStudy(table);
    if (!study || data.allow_harmonized_input) continue;
    return absl::InvalidArgumentError(absl::StrCat(table, ": ", DescribeHarmonized(*study),
                                                   "; give the table as it was before, or --force to harmonize it again"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile people, DelimitedFile::Open(data.participants));
  ATTUNE_ASSIGN_OR_RETURN(const Membership membership, ReadMembership(people, data.site_column));
  for (const std::string& site : membership.sites) {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/", site), FileAccess::kOwnerOnly));
  }
  ATTUNE_ASSIGN_OR_RETURN(auto people_writers, Writers(people, membership, folder, "participants.tsv"));
  const std::size_t id_column = *people.ColumnOf(kIdColumn);
  for (std::size_t row = 0; row < people.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, people.ReadRow(row));
    people_writers.at(membership.site_of.at(cells[id_column])).WriteRow(cells);
  }
  ATTUNE_RETURN_IF_ERROR(CommitAll(std::move(people_writers)));

  const bool images = !data.images.empty();
  if (images) ATTUNE_RETURN_IF_ERROR(LinkImages(data, people, membership, folder));
  std::string site_file =
      images ? "participants: participants.tsv\nimages: images\n" : "participants: participants.tsv\nfeatures:\n";
  for (std::size_t k = 0; k < data.features.size(); ++k) {
    const std::string name = absl::StrCat("features-", k + 1, ".tsv");
    absl::StrAppend(&site_file, "  - ", name, "\n");
    ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile table, DelimitedFile::Open(data.features[k]));
    ATTUNE_ASSIGN_OR_RETURN(auto writers, Writers(table, membership, folder, name));
    const std::size_t column = IdColumnOf(table);
    for (std::size_t row = 0; row < table.row_count(); ++row) {
      ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, table.ReadRow(row));
      const std::string* id = ParticipantOf(membership, cells[column]);
      if (id == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat(table.Where(row, column), ": participant '", cells[column], "' is not in ", data.participants));
      }
      writers.at(membership.site_of.at(*id)).WriteRow(cells);
    }
    ATTUNE_RETURN_IF_ERROR(CommitAll(std::move(writers)));
  }
  for (const std::string& site : membership.sites) {
    ATTUNE_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(folder, "/", site, "/site.yaml"), site_file, FileAccess::kOwnerOnly));
  }
  return membership.sites;
}

absl::Status JoinSites(const DataSet& data, const std::map<std::string, std::string>& tables, const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile people, DelimitedFile::Open(data.participants));
  ATTUNE_ASSIGN_OR_RETURN(const Membership membership, ReadMembership(people, data.site_column));
  std::map<std::string, DelimitedFile> files;
  std::map<std::string, std::pair<const DelimitedFile*, std::size_t>> row_of;  // by participant
  for (const auto& [site, table] : tables) {
    ATTUNE_ASSIGN_OR_RETURN(DelimitedFile opened, DelimitedFile::Open(table));
    const DelimitedFile& file = files.emplace(site, std::move(opened)).first->second;
    if (file.header() != files.begin()->second.header()) {
      return absl::InternalError(
          absl::StrCat("the harmonized tables of '", files.begin()->first, "' and '", site, "' have other columns"));
    }
    for (std::size_t row = 0; row < file.row_count(); ++row) {
      ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, file.ReadRow(row));
      if (const std::string* id = ParticipantOf(membership, cells[IdColumnOf(file)])) row_of[*id] = {&file, row};
    }
  }
  ATTUNE_ASSIGN_OR_RETURN(const DelimitedFile order,
                          DelimitedFile::Open(data.images.empty() ? data.features.front() : data.participants));
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter writer, TsvWriter::Create(path, FileAccess::kShared));
  if (!files.empty()) writer.WriteRow(files.begin()->second.header());
  for (std::size_t row = 0; row < order.row_count(); ++row) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> cells, order.ReadRow(row));
    const std::string* id = ParticipantOf(membership, cells[IdColumnOf(order)]);
    const auto found = id == nullptr ? row_of.end() : row_of.find(*id);
    if (found == row_of.end()) {
      return absl::InternalError(absl::StrCat(order.Where(row), ": no site returned this participant"));
    }
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<std::string> harmonized, found->second.first->ReadRow(found->second.second));
    writer.WriteRow(harmonized);
  }
  return std::move(writer).Commit();
}

}  // namespace attune

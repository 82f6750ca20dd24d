// SPDX-License-Identifier: Apache-2.0
//
// The house rules that a compiler does not see: who may include whom (docs/architecture.md), where third-party headers may
// appear, and what every file must have.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace attune::testing {
namespace {

namespace fs = std::filesystem;

struct SourceFile {
  std::string path;  // from the project's root
  std::string text;
  std::vector<std::string> includes;  // as written, without quotes or brackets
};

std::vector<SourceFile> Sources() {
  static const std::vector<SourceFile>& sources = *new std::vector<SourceFile>([] {
    std::vector<SourceFile> found;
    const fs::path root = ATTUNE_SOURCE_DIR;
    static const std::regex include("#\\s*include\\s*[<\"]([^>\"]+)[>\"]");
    for (const char* folder : {"common", "coordinator", "site_agent", "tests"}) {
      for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string extension = entry.path().extension().string();
        if (extension != ".h" && extension != ".cc") continue;
        SourceFile file{fs::relative(entry.path(), root).string(), "", {}};
        std::stringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        file.text = text.str();
        for (std::sregex_iterator match(file.text.begin(), file.text.end(), include), end; match != end; ++match) {
          file.includes.push_back((*match)[1]);
        }
        found.push_back(std::move(file));
      }
    }
    return found;
  }());
  return sources;
}

// The folder that a path belongs to as far as the layers are concerned.
std::string LayerFolder(const std::string& path) {
  if (absl::StartsWith(path, "attune/v1/")) return "proto";
  if (absl::StartsWith(path, "coordinator/")) return "coordinator";
  if (absl::StartsWith(path, "site_agent/")) return "site_agent";
  if (absl::StartsWith(path, "common/")) {
    const std::size_t slash = path.find('/', 7);
    return path.substr(0, slash);
  }
  return "";
}

// Who may include whom: a folder, and everything that it may include beside itself. docs/architecture.md draws the same.
const std::map<std::string, std::set<std::string>>& Allowed() {
  static const auto& allowed = *new std::map<std::string, std::set<std::string>>{
      {"common/base", {}},
      {"common/numeric", {"common/base"}},
      {"common/kernel", {"common/base"}},
      {"common/storage", {"common/base"}},
      {"common/tables", {"common/base"}},
      {"common/evidence", {"common/base", "common/kernel", "common/numeric"}},
      {"common/methods", {"common/base", "common/kernel", "common/numeric", "common/evidence", "proto"}},
      {"common/wire", {"common/base", "common/kernel", "proto"}},
      {"common/security", {"common/base", "proto"}},
      {"common/report",
       {"common/base", "common/numeric", "common/kernel", "common/tables", "common/evidence", "common/methods", "proto"}},
      {"common/transport", {"common/base", "common/kernel", "common/wire", "common/security", "proto"}},
      {"site_agent",
       {"common/base", "common/numeric", "common/kernel", "common/storage", "common/tables", "common/evidence",
        "common/methods", "common/wire", "common/security", "common/transport", "proto"}},
      {"coordinator",
       {"common/base", "common/numeric", "common/kernel", "common/storage", "common/tables", "common/evidence",
        "common/methods", "common/wire", "common/security", "common/transport", "common/report", "proto"}},
  };
  return allowed;
}

TEST(Architecture, IncludesFollowTheLayers) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    const std::string from = LayerFolder(file.path);
    if (from.empty()) continue;  // tests may include everything
    ASSERT_EQ(Allowed().count(from), 1u) << file.path << " is in a folder that the architecture does not know";
    for (const std::string& include : file.includes) {
      const std::string to = LayerFolder(include);
      if (absl::StartsWith(include, "tests/")) wrong.push_back(absl::StrCat(file.path, " includes ", include));
      if (to.empty() || to == from || Allowed().at(from).count(to) == 1) continue;
      wrong.push_back(absl::StrCat(file.path, " includes ", include));
    }
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

TEST(Architecture, MethodsDoNotIncludeEachOther) {
  std::vector<std::string> wrong;
  const std::string prefix = "common/methods/";
  for (const SourceFile& file : Sources()) {
    if (!absl::StartsWith(file.path, prefix) || file.path.find('/', prefix.size()) == std::string::npos) continue;
    const std::string own = file.path.substr(0, file.path.find('/', prefix.size()) + 1);
    for (const std::string& include : file.includes) {
      if (absl::StartsWith(include, prefix) && !absl::StartsWith(include, own)) {
        wrong.push_back(absl::StrCat(file.path, " includes ", include));
      }
    }
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

// A third-party header, and the only places that may include it.
struct Fence {
  const char* header;               // prefix of what is included
  std::vector<std::string> places;  // prefixes of paths
};

TEST(Architecture, ThirdPartyHeadersStayBehindTheirFences) {
  const std::vector<Fence> fences = {
      {"grpc", {"common/transport/", "coordinator/grpc_", "tests/"}},
      {"attune/v1/admin.grpc.pb.h", {"coordinator/grpc_", "tests/"}},
      {"prometheus/", {"coordinator/metrics"}},
      {"httplib.h", {"coordinator/metrics_server", "tests/"}},
      {"attune/v1/coordinator.grpc.pb.h", {"common/transport/", "coordinator/grpc_", "tests/"}},
      {"sqlite3.h", {"common/storage/", "tests/common/storage/"}},
      {"openssl/", {"common/security/", "common/base/digest", "tests/common/security/", "tests/"}},
      {"yaml-cpp/", {"common/wire/"}},
      {"csv.h", {"common/tables/"}},
      {"zlib.h", {"common/tables/", "site_agent/imaging/", "tests/"}},
      {"libdeflate.h", {"site_agent/imaging/", "tests/bench/"}},
      {"boost/", {"common/evidence/", "common/report/", "tests/"}},
      {"itk", {"site_agent/imaging/"}},
      {"nifti", {"site_agent/imaging/"}},
      {"google/protobuf/",
       {"common/wire/", "common/security/", "common/transport/", "common/report/page", "coordinator/", "site_agent/",
        "tests/"}},
      {"CLI/", {"coordinator/", "site_agent/"}},
      {"spdlog/", {"coordinator/", "site_agent/", "tests/"}},
      {"Eigen/",
       {"common/numeric/", "common/kernel/", "common/methods/", "common/evidence/", "common/report/",
        "coordinator/simulate/synthetic", "site_agent/design_notes", "tests/"}},
  };
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    for (const std::string& include : file.includes) {
      for (const Fence& fence : fences) {
        if (!absl::StartsWith(include, fence.header)) continue;
        const bool inside = std::any_of(fence.places.begin(), fence.places.end(),
                                        [&](const std::string& place) { return absl::StartsWith(file.path, place); });
        if (!inside) wrong.push_back(absl::StrCat(file.path, " includes ", include));
      }
    }
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

TEST(Architecture, MathematicsDoesNoInputOrOutput) {
  const std::vector<std::string> pure = {"common/numeric/", "common/kernel/", "common/methods/", "common/evidence/"};
  const std::set<std::string> forbidden = {"cstdio",  "fstream",    "filesystem", "iostream",           "stdio.h",
                                           "fcntl.h", "sys/stat.h", "unistd.h",   "common/base/files.h"};
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (std::none_of(pure.begin(), pure.end(),
                     [&](const std::string& folder) { return absl::StartsWith(file.path, folder); })) {
      continue;
    }
    for (const std::string& include : file.includes) {
      if (forbidden.count(include) > 0) wrong.push_back(absl::StrCat(file.path, " includes ", include));
    }
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

TEST(Architecture, EveryFileStatesItsLicenceAndGuard) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (!absl::StartsWith(file.text, "// SPDX-License-Identifier: Apache-2.0\n"))
      wrong.push_back(file.path + ": no licence line");
    if (!absl::EndsWith(file.path, ".h")) continue;
    std::string guard = "ATTUNE_" + file.path + "_";
    std::transform(guard.begin(), guard.end(), guard.begin(),
                   [](unsigned char c) { return std::isalnum(c) != 0 ? std::toupper(c) : '_'; });
    if (!absl::StrContains(file.text, absl::StrCat("#ifndef ", guard, "\n#define ", guard, "\n"))) {
      wrong.push_back(absl::StrCat(file.path, ": expected the guard ", guard));
    }
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

TEST(Architecture, NoStdStringViewWhereAbseilHasItsOwn) {
  std::vector<std::string> wrong;
  for (const SourceFile& file : Sources()) {
    if (file.path == "tests/architecture/architecture_test.cc") continue;
    if (absl::StrContains(file.text, "std::string_view")) wrong.push_back(file.path);
    // ThreadSanitizer cannot see into Debian's abseil.
    if (absl::StrContains(file.text, "absl::Mutex")) wrong.push_back(file.path);
  }
  EXPECT_TRUE(wrong.empty()) << absl::StrJoin(wrong, "\n");
}

TEST(Architecture, VersionIsTheSameEverywhere) {
  const fs::path root = ATTUNE_SOURCE_DIR;
  const auto read = [&](const char* name) {
    std::stringstream text;
    text << std::ifstream(root / name).rdbuf();
    return text.str();
  };
  std::smatch match;
  const std::string header = read("common/base/version.h");
  ASSERT_TRUE(std::regex_search(header, match, std::regex("kVersion\\[\\] = \"([0-9.]+)\"")));
  const std::string version = match[1];
  EXPECT_TRUE(absl::StrContains(read("CMakeLists.txt"), absl::StrCat("project(attune VERSION ", version, " ")));
  EXPECT_TRUE(absl::StrContains(read("CHANGELOG.md"), absl::StrCat("## ", version)));
}

}  // namespace
}  // namespace attune::testing

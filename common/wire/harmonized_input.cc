// SPDX-License-Identifier: Apache-2.0
#include "common/wire/harmonized_input.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/files.h"

namespace attune {
namespace {

constexpr std::uint64_t kMaxSidecarBytes = std::uint64_t{16} << 20;
constexpr char kMark[] = "harmonization_applied";

}  // namespace

std::string SidecarPathOf(const std::string& table_path) {
  std::filesystem::path path(table_path);
  if (absl::EndsWith(table_path, ".gz")) path.replace_extension();
  return path.replace_extension(".json").string();
}

std::optional<std::string> HarmonizedInStudy(const std::string& table_path) {
  absl::StatusOr<std::string> text = ReadFile(SidecarPathOf(table_path), kMaxSidecarBytes);
  if (!text.ok()) {
    // Under another name the table may be a link to one of ours.
    std::error_code ignored;
    text = ReadFile(SidecarPathOf(std::filesystem::weakly_canonical(table_path, ignored).string()), kMaxSidecarBytes);
  }
  if (!text.ok()) return std::nullopt;
  google::protobuf::Struct sidecar;
  if (!google::protobuf::util::JsonStringToMessage(*text, &sidecar).ok()) {
    // Cut short, perhaps. What ours alone say is enough.
    return absl::StrContains(*text, kMark) ? std::make_optional<std::string>() : std::nullopt;
  }
  const auto applied = sidecar.fields().find(kMark);
  if (applied == sidecar.fields().end() || !applied->second.bool_value()) return std::nullopt;
  const auto study = sidecar.fields().find("study");
  return study == sidecar.fields().end() ? "" : study->second.string_value();
}

std::string DescribeHarmonized(const std::string& study) {
  return absl::StrCat("was harmonized already,", study.empty() ? "" : absl::StrCat(" in the study '", study, "',"),
                      " says its sidecar");
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/report/page.h"

#include <google/protobuf/util/json_util.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/report/embedded_page.h"

namespace attune {
namespace {

constexpr char kPlace[] = "ATTUNE_REPORT_JSON";

// In JSON these characters stand in texts only, where an escape means the same.
std::string InsideScript(absl::string_view json) {
  std::string out;
  out.reserve(json.size() + json.size() / 64);
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '<') {
      out += "\\u003c";  // "</script", "<!--"
    } else if (json.substr(i, 3) == "\xE2\x80\xA8") {
      out += "\\u2028";
      i += 2;
    } else if (json.substr(i, 3) == "\xE2\x80\xA9") {
      out += "\\u2029";
      i += 2;
    } else {
      out += json[i];
    }
  }
  return out;
}

}  // namespace

std::string ReportJson(const v1::Report& report) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  // Fails only for text that is not UTF-8, which proto3 does not hold.
  static_cast<void>(google::protobuf::util::MessageToJsonString(report, &json, options));
  return json;
}

std::size_t JsonStringBytes(absl::string_view text) {
  std::size_t bytes = 2;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\' && c != '<' && c != '>';
    bytes += plain ? 1 : 6;
  }
  return bytes;
}

bool HasReportPage() { return !EmbeddedPage().empty(); }

absl::StatusOr<std::string> ReportPage(absl::string_view json) {
  if (!HasReportPage()) {
    return absl::FailedPreconditionError(
        "this program was built without the page: build it again on a machine with Node.js 18 or later (deploy/build-web.sh)");
  }
  return ReportPage(json, EmbeddedPage());
}

absl::StatusOr<std::string> ReportPage(absl::string_view json, absl::string_view page) {
  const std::size_t at = page.find(kPlace);
  if (at == absl::string_view::npos || page.find(kPlace, at + 1) != absl::string_view::npos) {
    return absl::FailedPreconditionError(absl::StrCat("the page does not have the place '", kPlace, "' exactly once"));
  }
  return absl::StrCat(page.substr(0, at), InsideScript(json), page.substr(at + sizeof(kPlace) - 1));
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "coordinator/json_log.h"

#include <spdlog/formatter.h>
#include <spdlog/spdlog.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"

namespace attune {
namespace {

// Bytes of the UTF-8 character at the begin of `text`; 0 when there is none (RFC 3629: neither overlong nor surrogate).
std::size_t CharacterAt(absl::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf && follows(1)) return 2;
  if (first >= 0xe0 && first <= 0xef && follows(1) && follows(2)) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) > 0x9f;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4 && follows(1) && follows(2) && follows(3)) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool beyond = first == 0xf4 && byte(1) > 0x8f;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

std::string Quoted(absl::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const std::size_t size = CharacterAt(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0) {
      json.append("\\ufffd");
    } else if (first < 0x20 || first == 0x7f) {
      absl::StrAppend(&json, "\\u", absl::Hex(first, absl::kZeroPad4));
    } else {
      if (first == '"' || first == '\\') json.push_back('\\');
      json.append(text.data(), size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  json.push_back('"');
  return json;
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const spdlog::string_view_t level = spdlog::level::to_string_view(message.level);
    const std::string line = JsonLogLine(absl::FromChrono(message.time), {level.data(), level.size()},
                                         {message.payload.data(), message.payload.size()});
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

}  // namespace

std::string JsonLogLine(absl::Time time, absl::string_view level, absl::string_view message) {
  return absl::StrCat("{\"time\":\"", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()),
                      "\",\"level\":", Quoted(level), ",\"message\":", Quoted(message), "}\n");
}

void LogAsJson() { spdlog::set_formatter(std::make_unique<JsonFormatter>()); }

}  // namespace attune

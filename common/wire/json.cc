// SPDX-License-Identifier: Apache-2.0
#include "common/wire/json.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "common/base/printable.h"

namespace attune {
namespace {

google::protobuf::StringPiece Piece(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  // A figure of zero is a finding: it must be there to be read.
  options.always_print_primitive_fields = true;
  std::string json;
  // Fails only for text that is not UTF-8, which proto3 does not hold.
  static_cast<void>(google::protobuf::util::MessageToJsonString(message, &json, options));
  return json;
}

absl::Status FromJson(absl::string_view text, absl::string_view name, google::protobuf::Message* message) {
  const auto status = google::protobuf::util::JsonStringToMessage(Piece(text), message, {});
  if (status.ok()) return absl::OkStatus();
  const std::string reason = status.message().ToString();
  // What follows in the next lines is the text itself.
  return Printable(absl::InvalidArgumentError(absl::StrCat(name, ": not a ", message->GetDescriptor()->name(), " in JSON: ",
                                                           absl::string_view(reason).substr(0, reason.find('\n')))));
}

}  // namespace attune

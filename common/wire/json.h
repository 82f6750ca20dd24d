// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_WIRE_JSON_H_
#define ATTUNE_COMMON_WIRE_JSON_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// The message as indented JSON, keys as in the .proto file, doubles with as many digits as read back the same
// (a zero may lose its sign).
std::string ToJson(const google::protobuf::Message& message);

// Fails with InvalidArgument when `text` is not JSON of this message (unknown keys included); `name` is the file's name.
absl::Status FromJson(absl::string_view text, absl::string_view name, google::protobuf::Message* message);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_JSON_H_

// SPDX-License-Identifier: Apache-2.0
//
// YAML configuration files, read into the messages of proto/attune/v1/config.proto.
#ifndef ATTUNE_COMMON_WIRE_YAML_H_
#define ATTUNE_COMMON_WIRE_YAML_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// Fills `message` from the YAML document `text`; `name` is the file's name for messages. Keys are field names; enums are
// written as the last words of their value in lower case ("per_batch" for RELEASE_PER_BATCH); one scalar may stand for a list
// of one. Fails with InvalidArgument "<name>:<line>: ..." for broken YAML, an unknown key (naming the known ones), a repeated
// key, a value of the wrong type (saying what was expected), or anchors and aliases that would expand without bound.
absl::Status ParseYaml(absl::string_view text, absl::string_view name, google::protobuf::Message* message);

// The same for a file of at most 1 MiB.
absl::Status ReadYamlFile(const std::string& path, google::protobuf::Message* message);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_YAML_H_

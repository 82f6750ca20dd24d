// SPDX-License-Identifier: Apache-2.0
//
// Scalars of a YAML document as scalar fields of a message. For yaml.cc only.
#ifndef ATTUNE_COMMON_WIRE_YAML_SCALAR_H_
#define ATTUNE_COMMON_WIRE_YAML_SCALAR_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// A scalar as it stands in the document.
struct YamlScalar {
  std::string text;
  bool quoted = false;  // then it is text, and neither a number nor a truth value
};

// Sets the scalar field, or adds to it where it is a list. Fails with InvalidArgument "is '<text>', expected ...", to be
// continued from the key's name.
absl::Status SetScalar(const YamlScalar& scalar, const google::protobuf::FieldDescriptor& field,
                       google::protobuf::Message* message);

// What the field holds, for messages: "text", "a whole number", "one of: per_batch, pooled".
std::string ExpectedScalar(const google::protobuf::FieldDescriptor& field);

// Whether `text` is well-formed UTF-8 without control characters other than tab and line ends.
bool IsPrintableUtf8(absl::string_view text);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_YAML_SCALAR_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_WIRE_CANONICAL_H_
#define ATTUNE_COMMON_WIRE_CANONICAL_H_

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"

namespace attune {

// The message's one serialization: fields in order of number, maps in order of key.
inline std::string DeterministicBytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }  // the streams give back what they did not use
  return bytes;
}

// Reads a message of untrusted bytes. What is wrong with them is for our messages to say, not for protobuf's log.
inline bool ParseBytes(absl::string_view bytes, google::protobuf::Message* message) {
  const google::protobuf::LogSilencer silencer;
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()) &&
         message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Whether `bytes`, from which `message` was read, are its canonical ones: nothing unknown, repeated or out of order.
inline bool IsCanonical(google::protobuf::Message& message, absl::string_view bytes) {
  message.DiscardUnknownFields();
  return DeterministicBytes(message) == bytes;
}

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_CANONICAL_H_

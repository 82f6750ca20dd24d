// SPDX-License-Identifier: Apache-2.0
#include "common/wire/yaml_scalar.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/text.h"

namespace attune {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// "MissingCovariates" -> "MISSING_COVARIATES_", what all values of the enum begin with.
std::string PrefixOf(const EnumDescriptor& type) {
  std::string prefix;
  for (const char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix.push_back('_');
    prefix.push_back(absl::ascii_toupper(static_cast<unsigned char>(c)));
  }
  return prefix + "_";
}

std::string ShortNameOf(const EnumValueDescriptor& value) {
  absl::string_view name = value.name();
  absl::ConsumePrefix(&name, PrefixOf(*value.type()));
  return absl::AsciiStrToLower(name);
}

// All values but 0, which means "not said".
std::vector<const EnumValueDescriptor*> ValuesOf(const EnumDescriptor& type) {
  std::vector<const EnumValueDescriptor*> values;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) values.push_back(type.value(i));
  }
  return values;
}

bool IsWholeNumber(absl::string_view text) {
  absl::ConsumePrefix(&text, "-");
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool ReadBool(absl::string_view text, bool* value) {
  *value = text == "true" || text == "True" || text == "TRUE";
  return *value || text == "false" || text == "False" || text == "FALSE";
}

// Sets through Set##Type or Add##Type, whichever the field needs.
#define ATTUNE_SET_OR_ADD(Type, value) \
  (field.is_repeated() ? reflection.Add##Type(message, &field, value) : reflection.Set##Type(message, &field, value), true)

// False: the text is not of the field's type.
bool Set(const YamlScalar& scalar, const FieldDescriptor& field, const Reflection& reflection, Message* message) {
  const std::string& text = scalar.text;
  const bool whole = IsWholeNumber(text) && !scalar.quoted;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return IsPrintableUtf8(text) && ATTUNE_SET_OR_ADD(String, text);
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      return !scalar.quoted && ReadBool(text, &value) && ATTUNE_SET_OR_ADD(Bool, value);
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      std::int32_t value = 0;
      return whole && absl::SimpleAtoi(text, &value) && ATTUNE_SET_OR_ADD(Int32, value);
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      std::int64_t value = 0;
      return whole && absl::SimpleAtoi(text, &value) && ATTUNE_SET_OR_ADD(Int64, value);
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      std::uint32_t value = 0;
      return whole && absl::SimpleAtoi(text, &value) && ATTUNE_SET_OR_ADD(UInt32, value);
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      std::uint64_t value = 0;
      return whole && absl::SimpleAtoi(text, &value) && ATTUNE_SET_OR_ADD(UInt64, value);
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const auto value = ParseDouble(text);
      return !scalar.quoted && value.ok() && ATTUNE_SET_OR_ADD(Double, *value);
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      for (const EnumValueDescriptor* value : ValuesOf(*field.enum_type())) {
        if (text == ShortNameOf(*value)) return ATTUNE_SET_OR_ADD(Enum, value);
      }
      return false;
    default:
      return false;
  }
}
#undef ATTUNE_SET_OR_ADD

}  // namespace

std::string ExpectedScalar(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, 0 or more";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> names;
      for (const EnumValueDescriptor* value : ValuesOf(*field.enum_type())) names.push_back(ShortNameOf(*value));
      return absl::StrCat("one of: ", absl::StrJoin(names, ", "));
    }
    default:
      return "text (UTF-8, no control characters)";
  }
}

absl::Status SetScalar(const YamlScalar& scalar, const FieldDescriptor& field, Message* message) {
  if (Set(scalar, field, *message->GetReflection(), message)) return absl::OkStatus();
  const std::string shown = scalar.text.size() <= 60 ? scalar.text : absl::StrCat(scalar.text.substr(0, 60), "...");
  return absl::InvalidArgumentError(
      absl::StrCat("is ", scalar.quoted ? "the text " : "", "'", shown, "', expected ", ExpectedScalar(field)));
}

bool IsPrintableUtf8(absl::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) return false;
    const std::size_t size = byte < 0x80 ? 1 : (byte >> 5) == 6 ? 2 : (byte >> 4) == 14 ? 3 : (byte >> 3) == 30 ? 4 : 0;
    if (size == 0 || size > text.size() - i) return false;
    std::uint32_t code = size == 1 ? byte : byte & (0x7fu >> size);
    for (std::size_t k = 1; k < size; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    constexpr std::uint32_t kFirstOfSize[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kFirstOfSize[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += size;
  }
  return true;
}

}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
#include "common/wire/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <exception>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/files.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/wire/yaml_scalar.h"

namespace attune {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 20;
constexpr int kMaxDepth = 32;
// Nodes visited, an alias' target again at each use: bounds what aliases of aliases expand to.
constexpr int kMaxNodes = 200'000;

// Reads past a document.
class Skip : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// 0, 1, or 2 for more. Not YAML::LoadAll: of some broken text (",") it makes documents without end.
int CountDocuments(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Skip skip;
  int documents = 0;
  while (documents < 2 && parser.HandleNextDocument(skip)) ++documents;
  return documents;
}

class Reader {
 public:
  explicit Reader(absl::string_view name) : name_(name) {}

  // `path` is the message's place, "method.combat"; empty for the document.
  absl::Status ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
    ATTUNE_RETURN_IF_ERROR(Visit(node));
    const Depth depth(this);
    if (depth.exceeded()) return Error(node, absl::StrCat("nested deeper than ", kMaxDepth, " levels"));
    if (node.IsNull()) return absl::OkStatus();  // "combat:" without options
    const Descriptor& type = *message->GetDescriptor();
    if (!node.IsMap()) {
      return Error(node, absl::StrCat(path.empty() ? "the document" : Quoted(path), " is ", KindOf(node),
                                      ", expected keys and values: ", KnownKeys(type)));
    }
    std::set<std::string> seen;
    for (const auto& pair : node) {
      ATTUNE_ASSIGN_OR_RETURN(const std::string key, ReadKey(pair.first, path, &seen));
      const FieldDescriptor* field = type.FindFieldByName(key);
      if (field == nullptr) {
        return Error(pair.first,
                     absl::StrCat("unknown key ", Quoted(key), path.empty() ? "" : absl::StrCat(" in ", Quoted(path)),
                                  "; known keys: ", KnownKeys(type)));
      }
      ATTUNE_RETURN_IF_ERROR(
          ReadField(pair.first, pair.second, path.empty() ? key : absl::StrCat(path, ".", key), *field, message));
    }
    return absl::OkStatus();
  }

 private:
  class Depth {
   public:
    explicit Depth(Reader* reader) : reader_(reader) { ++reader_->depth_; }
    ~Depth() { --reader_->depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    bool exceeded() const { return reader_->depth_ > kMaxDepth; }

   private:
    Reader* reader_;  // not owned
  };

  static std::string Quoted(absl::string_view text) {
    return absl::StrCat("'", text.substr(0, 60), text.size() > 60 ? "..." : "", "'");
  }

  static std::string KnownKeys(const Descriptor& type) {
    std::vector<std::string> keys;
    for (int i = 0; i < type.field_count(); ++i) keys.push_back(type.field(i)->name());
    return absl::StrJoin(keys, ", ");
  }

  static std::string KindOf(const YAML::Node& node) {
    if (node.IsNull()) return "empty";
    if (node.IsSequence()) return "a list";
    if (node.IsMap()) return "keys and values";
    return Quoted(node.Scalar());
  }

  absl::Status Error(const YAML::Node& node, absl::string_view what) const {
    // yaml-cpp places what is empty at the next token, lines further down.
    return ErrorAt(node.IsNull() ? before_ : node.Mark(), what);
  }

  absl::Status ErrorAt(const YAML::Mark& mark, absl::string_view what) const {
    if (mark.is_null()) return absl::InvalidArgumentError(absl::StrCat(name_, ": ", what));
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", mark.line + 1, ": ", what));
  }

  absl::Status Visit(const YAML::Node& node) {
    if (++nodes_ > kMaxNodes)
      return Error(node, absl::StrCat("anchors and aliases expand to more than ", kMaxNodes, " values"));
    const std::string& tag = node.Tag();
    if (!tag.empty() && tag != "?" && tag != "!")
      return Error(node, absl::StrCat("tag ", Quoted(tag), " has no meaning here; remove it"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadKey(const YAML::Node& key, const std::string& path, std::set<std::string>* seen) {
    ATTUNE_RETURN_IF_ERROR(Visit(key));
    const std::string where = path.empty() ? "" : absl::StrCat(" in ", Quoted(path));
    if (!key.IsScalar() || !IsPrintableUtf8(key.Scalar())) {
      return Error(key, absl::StrCat("a key", where, " is ", KindOf(key), ", expected plain text"));
    }
    if (!seen->insert(key.Scalar()).second)
      return Error(key, absl::StrCat("key ", Quoted(key.Scalar()), where, " is there twice"));
    return key.Scalar();
  }

  absl::Status ReadField(const YAML::Node& key, const YAML::Node& value, const std::string& path, const FieldDescriptor& field,
                         Message* message) {
    before_ = key.Mark();
    const Reflection& reflection = *message->GetReflection();
    if (const auto* oneof = field.real_containing_oneof(); oneof != nullptr && reflection.HasOneof(*message, oneof)) {
      return Error(key, absl::StrCat(Quoted(path), " cannot stand beside '",
                                     reflection.GetOneofFieldDescriptor(*message, oneof)->name(), "': choose one"));
    }
    if (field.is_map()) return ReadMap(value, path, field, message);
    if (field.is_repeated()) return ReadList(value, path, field, message);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(value, path, reflection.MutableMessage(message, &field));
    }
    return ReadScalar(value, path, field, message);
  }

  absl::Status ReadScalar(const YAML::Node& value, const std::string& path, const FieldDescriptor& field, Message* message) {
    ATTUNE_RETURN_IF_ERROR(Visit(value));
    if (!value.IsScalar())
      return Error(value, absl::StrCat(Quoted(path), " is ", KindOf(value), ", expected ", ExpectedScalar(field)));
    const absl::Status status = SetScalar({.text = value.Scalar(), .quoted = value.Tag() == "!"}, field, message);
    return status.ok() ? status : Error(value, absl::StrCat(Quoted(path), " ", status.message()));
  }

  absl::Status ReadList(const YAML::Node& value, const std::string& path, const FieldDescriptor& field, Message* message) {
    const bool of_messages = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (value.IsScalar() && !of_messages) return ReadScalar(value, path, field, message);  // a list of one
    ATTUNE_RETURN_IF_ERROR(Visit(value));
    if (!value.IsSequence()) {
      return Error(value,
                   absl::StrCat(Quoted(path), " is ", KindOf(value), ", expected a list of ",
                                of_messages ? absl::StrCat("{", KnownKeys(*field.message_type()), "}") : ExpectedScalar(field),
                                "; write [] for none"));
    }
    int item = 0;
    for (const YAML::Node& element : value) {
      const std::string place = absl::StrCat(path, "[", ++item, "]");
      before_ = value.Mark();
      if (of_messages) {
        if (element.IsNull()) return Error(element, absl::StrCat(Quoted(place), " is empty"));
        ATTUNE_RETURN_IF_ERROR(ReadMessage(element, place, message->GetReflection()->AddMessage(message, &field)));
      } else {
        ATTUNE_RETURN_IF_ERROR(ReadScalar(element, place, field, message));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadMap(const YAML::Node& value, const std::string& path, const FieldDescriptor& field, Message* message) {
    ATTUNE_RETURN_IF_ERROR(Visit(value));
    if (!value.IsMap()) return Error(value, absl::StrCat(Quoted(path), " is ", KindOf(value), ", expected {name: value, ...}"));
    const Descriptor& entry_type = *field.message_type();
    std::set<std::string> seen;
    for (const auto& pair : value) {
      ATTUNE_RETURN_IF_ERROR(ReadKey(pair.first, path, &seen).status());
      before_ = pair.first.Mark();
      Message* entry = message->GetReflection()->AddMessage(message, &field);
      ATTUNE_RETURN_IF_ERROR(ReadScalar(pair.first, path, *entry_type.map_key(), entry));
      ATTUNE_RETURN_IF_ERROR(
          ReadScalar(pair.second, absl::StrCat(path, ".", pair.first.Scalar()), *entry_type.map_value(), entry));
    }
    return absl::OkStatus();
  }

  const std::string name_;
  YAML::Mark before_;  // of the key or list whose value is being read
  int depth_ = 0;
  int nodes_ = 0;
};

}  // namespace

absl::Status ParseYaml(absl::string_view text, absl::string_view name, Message* message) {
  message->Clear();
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has ", text.size(), " bytes, more than the limit of ", kMaxTextBytes));
  }
  try {
    const std::string whole(text);
    const int documents = CountDocuments(whole);
    if (documents == 0) return absl::OkStatus();
    if (documents > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": holds several YAML documents, expected one; remove lines '---' and a comma at the beginning"));
    }
    return Printable(Reader(name).ReadMessage(YAML::Load(whole), "", message));
  } catch (const YAML::Exception& error) {
    const std::string line = error.mark.is_null() ? "" : absl::StrCat(":", error.mark.line + 1);
    return Printable(absl::InvalidArgumentError(absl::StrCat(name, line, ": broken YAML: ", error.msg)));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": broken YAML: ", error.what()));
  }
}

absl::Status ReadYamlFile(const std::string& path, Message* message) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxTextBytes));
  return ParseYaml(text, path, message);
}

}  // namespace attune

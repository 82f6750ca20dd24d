// SPDX-License-Identifier: Apache-2.0
//
// Calls of sites, in any order and with any message. Each call: a byte that chooses it, a byte that chooses the site and
// whether the message is made to belong to the study, and the message.
#include "coordinator/errors.h"
#include "tests/fuzz/desk_study.h"

namespace attune::fuzz {
namespace {

constexpr int kMostCalls = 24;

class Caller {
 public:
  explicit Caller(DeskStudy* study) : study_(study) {}

  void Call(std::uint8_t call, std::uint8_t who, const std::string& message) {
    static constexpr const char* kSites[] = {"north", "south", "east"};
    const std::string site = kSites[who % 3];
    belongs_ = (who & 0x80) != 0;
    Desk& desk = *study_->desk;
    switch (call % 10) {
      case 0:
        return Check(desk.Register(site, Parse<v1::RegisterRequest>(message)));
      case 1:
        return Check(desk.GetStudy(site, belongs_ ? kStudy : message).status());
      case 2: {
        const auto reply = desk.Next(site, Parse<v1::NextRequest>(message));
        Require(!reply.ok() || site != "east", "nothing is asked of who is not on the roster");
        return Check(reply.status());
      }
      case 3:
        return Check(desk.GetUpload(site, Parse<v1::UploadHeader>(message)).status());
      case 4: {
        v1::UploadHeader header = Parse<v1::UploadHeader>(message);
        v1::Chunk chunk;
        chunk.set_offset(who >> 2 & 7);
        chunk.set_data(message);
        return Check(desk.Append(site, header, chunk));
      }
      case 5:
        return Check(desk.FinishUpload(site, Parse<v1::UploadHeader>(message)).status());
      case 6:
        return Check(desk.BundlePath(site, Parse<v1::FetchRequest>(message)).status());
      case 7:
        return Check(desk.Report(site, Parse<v1::ReportRequest>(message)));
      case 8:  // a whole upload of these bytes
        return Submit(site, study_->UploadOf(Round(), message));
      default:  // the true answer, in which the message changes bytes: place, place, value
        DeskStudy::Upload answer = study_->AnswerOf(site);
        Input changes(message);
        while (!changes.empty() && !answer.bytes.empty()) {
          const std::size_t place = changes.Byte() | static_cast<std::size_t>(changes.Byte()) << 8;
          answer.bytes[place % answer.bytes.size()] = static_cast<char>(changes.Byte());
        }
        return Submit(site, study_->UploadOf(Round(), std::move(answer.bytes)));
    }
  }

 private:
  template <typename Message>
  Message Parse(const std::string& bytes) {
    Message message;
    if (!message.ParseFromString(bytes)) message.Clear();
    if (!belongs_) return message;
    message.set_study(kStudy);
    if constexpr (requires { message.set_manifest_sha256(""); }) message.set_manifest_sha256(study_->manifest_sha256);
    return message;
  }

  std::uint32_t Round() const { return study_->desk->Status(kStudy)->round(); }

  void Submit(const std::string& site, const DeskStudy::Upload& upload) {
    v1::Chunk chunk;
    const std::size_t half = upload.bytes.size() / 2;
    chunk.set_data(upload.bytes.substr(0, half));
    Check(study_->desk->Append(site, upload.header, chunk));
    chunk.set_offset(half);
    chunk.set_data(upload.bytes.substr(half));
    Check(study_->desk->Append(site, upload.header, chunk));
    Check(study_->desk->FinishUpload(site, upload.header).status());
  }

  void Check(const absl::Status& status) { RequireForPeer(ForPeer(status), study_->folder.path()); }

  DeskStudy* const study_;  // not owned
  bool belongs_ = false;
};

}  // namespace

ATTUNE_FUZZ_TARGET(desk)(absl::string_view bytes) {
  DeskStudy study;
  Caller caller(&study);
  Input input(bytes);
  for (int i = 0; i < kMostCalls && !input.empty(); ++i) {
    const std::uint8_t call = input.Byte();
    const std::uint8_t who = input.Byte();
    caller.Call(call, who, input.Bytes());
  }
  study.CheckRecord();
}

}  // namespace attune::fuzz

// SPDX-License-Identifier: Apache-2.0
//
// Files in a site's outbox, as they come on a stick. Each file: a byte that chooses its name, and its content.
#include <filesystem>

#include "coordinator/folder_service.h"
#include "tests/fuzz/desk_study.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(folder_service)(absl::string_view bytes) {
  static constexpr const char* kNames[] = {"demo.register.pb",  "demo.answer-1.pb", "demo.answer-2.pb", "demo.report.pb",
                                           "other.register.pb", "demo.answer-.pb",  "..register.pb"};
  DeskStudy study;
  const std::string root = study.folder / "exchange";
  const std::string outbox = root + "/north/outbox/";
  std::filesystem::create_directories(outbox);
  FolderService service(study.desk.get(), root);
  Input input(bytes);
  for (int i = 0; i < 8 && !input.empty(); ++i) {
    const std::uint8_t name = input.Byte();
    const std::string content = input.Bytes();
    if ((name & 0x80) != 0) {  // a bundle, and a header that belongs to the study and names it
      const DeskStudy::Upload upload = study.UploadOf(1 + name % 2, content);
      study.folder.Write(absl::StrCat("exchange/north/outbox/", upload.header.bundle().sha256(), ".bundle"), content);
      study.folder.Write(absl::StrCat("exchange/north/outbox/demo.answer-", 1 + name % 2, ".pb"),
                         upload.header.SerializeAsString());
    } else {
      study.folder.Write(absl::StrCat("exchange/north/outbox/", kNames[name % 7]), content);
    }
  }
  RequirePrintable(service.Sweep());
  v1::FolderError error;
  if (error.ParseFromString(study.folder.Read("exchange/north/inbox/demo.error.pb"))) {
    RequireForPeer(absl::InvalidArgumentError(error.message()), study.folder.path());
  }
  v1::NextReply next;
  Require(next.ParseFromString(study.folder.Read("exchange/north/inbox/demo.next.pb")) && next.task() != 0,
          "the site is told what to do");
  study.CheckRecord();
}

}  // namespace attune::fuzz

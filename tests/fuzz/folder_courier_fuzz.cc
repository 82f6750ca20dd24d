// SPDX-License-Identifier: Apache-2.0
//
// Files in a site's inbox, as they come on a stick: the study, what to do next, an error, and a bundle.
#include <filesystem>

#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/transport/folder_courier.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(folder_courier)(absl::string_view bytes) {
  static constexpr const char* kNames[] = {"inbox/demo.study.pb", "inbox/demo.next.pb", "inbox/demo.error.pb"};
  const testing::TempFolder folder;
  const auto courier = MakeFolderCourier({.folder = folder.path()});
  Require(courier.ok(), "the folder can be used");
  Input input(bytes);
  for (const char* name : kNames) {
    if (const std::string content = input.Bytes(); !content.empty()) folder.Write(name, content);
  }
  const std::string bundle = input.Bytes();
  const auto study = (*courier)->GetStudy("demo");
  RequirePrintable(study.status());
  v1::NextRequest request;
  request.set_study("demo");
  request.set_manifest_sha256(Sha256Hex(study.ok() ? study->manifest() : ""));
  const auto next = (*courier)->Next(request);
  RequirePrintable(next.status());
  if (!next.ok()) return;
  for (const v1::BundleRef& ref : next->bundles()) {
    if (IsSha256Hex(ref.sha256())) folder.Write("inbox/" + ref.sha256() + ".bundle", bundle);
    v1::FetchRequest fetch;
    fetch.set_study("demo");
    fetch.set_sha256(ref.sha256());
    const absl::Status fetched = (*courier)->Fetch(fetch, ref.size(), folder / "fetched");
    RequirePrintable(fetched);
    if (fetched.ok()) Require(Sha256Hex(folder.Read("fetched")) == ref.sha256(), "what was fetched is what was named");
  }
}

}  // namespace attune::fuzz

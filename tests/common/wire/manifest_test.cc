// SPDX-License-Identifier: Apache-2.0
#include "common/wire/manifest.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/digest.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Manifest Good() {
  v1::Manifest manifest;
  manifest.set_protocol(kProtocolVersion);
  manifest.set_consortium("enigma");
  manifest.mutable_config()->set_study("s");
  v1::CombatOptions* combat = manifest.mutable_config()->mutable_method()->mutable_combat();
  combat->set_mean_only(true);
  for (const char* column : {"dx", "group", "arm", "visit"}) (*combat->mutable_fit_on())[column] = "1";
  manifest.set_method("combat/1");
  v1::RosterSite* site = manifest.add_roster();
  site->set_site("a");
  site->add_batches("x");
  site->add_batches("y");
  site = manifest.add_roster();
  site->set_site("a-b");
  site->add_batches("x");
  manifest.add_features("thickness");
  manifest.add_features("area");
  return manifest;
}

TEST(Manifest, Canonical_SameContentSameBytes) {
  const std::string bytes = CanonicalBytes(Good());
  v1::Manifest other = Good();
  auto* fit_on = other.mutable_config()->mutable_method()->mutable_combat()->mutable_fit_on();
  fit_on->clear();
  for (const char* column : {"visit", "arm", "group", "dx"}) (*fit_on)[column] = "1";
  EXPECT_EQ(CanonicalBytes(other), bytes);
  ASSERT_OK_AND_ASSIGN(const v1::Manifest read, ParseManifest(bytes));
  EXPECT_EQ(CanonicalBytes(read), bytes);
  // The bytes are a format: they change only with the protocol version.
  EXPECT_EQ(Sha256Hex(bytes), "8f479c2c9e8996fbec846be9f14b43c3b8d5297d3a71a58fd9232cefb75b27d1");
}

TEST(Manifest, Facts_BatchesSortedById) {
  const StudyFacts facts = FactsOf(Good());
  EXPECT_THAT(facts.batches, ElementsAre("a-b/x", "a/x", "a/y"));
  EXPECT_THAT(facts.features.names(), ElementsAre("thickness", "area"));
  EXPECT_EQ(facts.min_batch_size, 10);
  EXPECT_EQ(facts.release, Release::kPerBatch);
  v1::CombatOptions options;
  ASSERT_TRUE(options.ParseFromString(facts.options));
  EXPECT_TRUE(options.mean_only());
  EXPECT_THAT(BatchesOfSite(Good(), "a"), ElementsAre("a/x", "a/y"));
  EXPECT_THAT(BatchesOfSite(Good(), "c"), IsEmpty());
}

TEST(Manifest, Parse_NotCanonical) {
  const std::string bytes = CanonicalBytes(Good());
  const std::string unknown("\xf2\x3f\x01x", 4);  // field 1022
  EXPECT_THAT(ParseManifest(bytes + unknown), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not canonical")));
  EXPECT_THAT(ParseManifest(bytes.substr(2) + bytes.substr(0, 2)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not canonical")));
  EXPECT_THAT(ParseManifest(bytes.substr(0, bytes.size() - 1)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not readable")));
}

TEST(Manifest, Parse_OtherProtocol) {
  v1::Manifest manifest = Good();
  manifest.set_protocol(2);
  EXPECT_THAT(ParseManifest(CanonicalBytes(manifest)), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 2")));
  EXPECT_THAT(ParseManifest(""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 0")));
}

TEST(Manifest, Parse_Refuses) {
  const std::vector<std::pair<std::function<void(v1::Manifest&)>, std::string>> cases = {
      {[](v1::Manifest& m) { m.clear_consortium(); }, "names no consortium"},
      {[](v1::Manifest& m) { m.mutable_config()->clear_method(); }, "'method' is missing"},
      {[](v1::Manifest& m) { m.set_method("combat/9"); }, "asks for method 'combat/9'"},
      {[](v1::Manifest& m) { m.clear_roster(); }, "has no sites"},
      {[](v1::Manifest& m) { m.mutable_roster()->SwapElements(0, 1); }, "sites that are not sorted"},
      {[](v1::Manifest& m) { m.mutable_roster(1)->set_site("a"); }, "sites that are not sorted, or repeated"},
      {[](v1::Manifest& m) { m.mutable_roster(1)->set_site("b/c"); }, "name is not one"},
      {[](v1::Manifest& m) { m.mutable_roster(0)->clear_batches(); }, "no batches of site 'a'"},
      {[](v1::Manifest& m) { m.mutable_roster(0)->mutable_batches()->SwapElements(0, 1); },
       "batches of site 'a' that are not sorted"},
      {[](v1::Manifest& m) { m.mutable_roster(0)->set_batches(0, "x\n"); }, "broken label"},
      {[](v1::Manifest& m) { m.clear_features(); }, "has no features"},
      {[](v1::Manifest& m) { m.add_features("area"); }, "the feature 'area' twice"},
      {[](v1::Manifest& m) { m.add_features(""); }, "empty or broken name"},
  };
  for (const auto& [change, message] : cases) {
    v1::Manifest manifest = Good();
    change(manifest);
    EXPECT_THAT(ParseManifest(CanonicalBytes(manifest)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
}

TEST(Manifest, Parse_EveryPrefixAndBitFlipIsHandled) {
  const std::string bytes = CanonicalBytes(Good());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto prefix = ParseManifest(bytes.substr(0, i));  // whole fields may be a manifest of another digest
    EXPECT_TRUE(!prefix.ok() || CanonicalBytes(*prefix) == bytes.substr(0, i)) << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const auto manifest = ParseManifest(changed);
      EXPECT_TRUE(!manifest.ok() || CanonicalBytes(*manifest) == changed) << i;
    }
  }
}

}  // namespace
}  // namespace attune

// SPDX-License-Identifier: Apache-2.0
//
// Secure aggregation: one message of an honest attempt is changed, or replaced, and given to whoever reads it. A byte chooses
// the message (0x80: replaced by the rest), a byte chooses who sends it, and then follow changes: place, place, value.
#include "common/security/aggregation.h"
#include "tests/common/security/aggregation_attempt.h"
#include "tests/fuzz/fuzz.h"

namespace attune::fuzz {

using aggregation::Attempt;

namespace {

const Attempt& Honest() {
  static const Attempt& honest = *[] {
    auto* const attempt = new Attempt(3);
    const std::vector<std::string> sites = attempt->Sites();
    attempt->Keys(sites).Shares(sites).Consistency(sites).Unmask(sites);
    return attempt;
  }();
  return honest;
}

}  // namespace

ATTUNE_FUZZ_TARGET(aggregation)(absl::string_view bytes) {
  const Attempt& honest = Honest();
  Input input(bytes);
  const std::uint8_t what = input.Byte();
  const std::string first = aggregation::NameOf(0);
  const std::string sender = aggregation::NameOf(input.Byte() % 4);  // the last is a stranger
  const auto changed = [&](std::string message) {
    if ((what & 0x80) != 0) return std::string(input.Rest());
    while (!input.empty() && !message.empty()) {
      const std::size_t place = input.Byte() | static_cast<std::size_t>(input.Byte()) << 8;
      message[place % message.size()] = static_cast<char>(input.Byte());
    }
    return message;
  };
  const v1::SessionSecrets& secrets = honest.secrets.at(first);
  switch (what % 10) {
    case 0:
      return RequirePrintable(CheckKeys(honest.terms, sender, changed(honest.keys.at(first))));
    case 1:
      return RequirePrintable(CheckShares(honest.terms, sender, honest.key_roster, changed(honest.shares.at(first))));
    case 2:
      return RequirePrintable(CheckConsistency(honest.terms, sender, honest.survivors, changed(honest.consistency.at(first))));
    case 3:
      return RequirePrintable(
          CheckUnmasking(honest.terms, sender, honest.key_roster, honest.survivors, changed(honest.unmaskings.at(first))));
    case 4:
      return RequirePrintable(SharesMessage(honest.terms, first, secrets, changed(honest.key_roster)).status());
    case 5:
      return RequirePrintable(
          aggregation::Masker::Create(honest.terms, first, secrets, honest.key_roster, changed(honest.for_site.at(first)))
              .status());
    case 6:
      return RequirePrintable(ConsistencyMessage(honest.terms, first, honest.key_roster, honest.for_site.at(first),
                                                 changed(honest.survivors), Attempt::SignerFor(first))
                                  .status());
    case 7:
      return RequirePrintable(UnmaskingMessage(honest.terms, first, secrets, honest.key_roster, honest.for_site.at(first),
                                               honest.survivors, changed(honest.signatures))
                                  .status());
    case 8: {
      std::map<std::string, std::string> unmaskings = honest.unmaskings;
      unmaskings[first] = changed(unmaskings[first]);
      return RequirePrintable(
          aggregation::Unmasker::Create(honest.terms, honest.key_roster, honest.survivors, unmaskings).status());
    }
    default: {
      std::map<std::string, std::string> shares = honest.shares;
      shares[first] = changed(shares[first]);
      return RequirePrintable(aggregation::MakeSharesForSite(sender, shares).status());
    }
  }
}

}  // namespace attune::fuzz

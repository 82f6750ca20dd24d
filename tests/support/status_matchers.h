// SPDX-License-Identifier: Apache-2.0
//
// EXPECT_OK(status), ASSERT_OK_AND_ASSIGN(auto x, StatusOr), EXPECT_THAT(status, StatusIs(code, HasSubstr("..."))).
#ifndef ATTUNE_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define ATTUNE_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attune::testing {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

MATCHER_P2(StatusIs, code, message_matcher, "has that code and message") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message_matcher, std::string(GetStatus(arg).message()), result_listener);
}

}  // namespace attune::testing

#define EXPECT_OK(expression) EXPECT_THAT((expression), ::attune::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT((expression), ::attune::testing::IsOk())
#define ATTUNE_TEST_CONCAT_IMPL_(a, b) a##b
#define ATTUNE_TEST_CONCAT_(a, b) ATTUNE_TEST_CONCAT_IMPL_(a, b)
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ASSERT_OK_AND_ASSIGN_IMPL_(ATTUNE_TEST_CONCAT_(attune_test_value_, __LINE__), declaration, expression)
#define ASSERT_OK_AND_ASSIGN_IMPL_(name, declaration, expression) \
  auto name = (expression);                                       \
  ASSERT_OK(name);                                                \
  declaration = *std::move(name)

#endif  // ATTUNE_TESTS_SUPPORT_STATUS_MATCHERS_H_

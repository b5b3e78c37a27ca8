// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/expectation_context.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/core/crash/crash_report.h"

namespace tandem::testing {
namespace {

class ContextPrinter final : public ::testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const ::testing::TestPartResult& part) override {
    if (!part.failed()) return;
    std::string text;
    WriteCrashContext([&](absl::string_view more) { absl::StrAppend(&text, more); });
    std::fputs(text.c_str(), stdout);  // Behind gtest's own, which goes there too.
    std::fflush(stdout);
  }
};

}  // namespace

void PrintContextOfExpectations() {
  ::testing::UnitTest::GetInstance()->listeners().Append(new ContextPrinter);  // The list owns it.
}

}  // namespace tandem::testing

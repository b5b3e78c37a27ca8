// SPDX-License-Identifier: Apache-2.0
//
// Writes the page of a report for tests: timeline_page_for_test EVENTS FILE.

#include <fstream>

#include "absl/log/check.h"
#include "absl/strings/numbers.h"
#include "tandem/testing/report/report_for_test.h"
#include "tandem/testing/report/timeline_html.h"

int main(int argc, char** argv) {
  size_t events = 0;
  QCHECK(argc == 3 && absl::SimpleAtoi(argv[1], &events)) << "usage: timeline_page_for_test EVENTS FILE";
  std::ofstream file(argv[2], std::ios::binary);
  file << tandem::testing::TimelineHtml(tandem::testing::ReportForTest(events));
  file.close();
  QCHECK(file.good()) << "cannot write " << argv[2];
  return 0;
}

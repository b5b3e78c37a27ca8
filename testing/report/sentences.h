// SPDX-License-Identifier: Apache-2.0
//
// A scenario in words, for who has not learnt its lines.

#ifndef TANDEM_TESTING_REPORT_SENTENCES_H_
#define TANDEM_TESTING_REPORT_SENTENCES_H_

#include <string>

#include "tandem/sim/faults/scenario.h"

namespace tandem::testing {

// A sentence for each thing that `scenario` says of what happens, a line each; the seed and the test are left out.
std::string ScenarioSentences(const sim::Scenario& scenario);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_SENTENCES_H_

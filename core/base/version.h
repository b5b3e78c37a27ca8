// SPDX-License-Identifier: Apache-2.0
//
// The version of Tandem, by the rules of semver.org: until 1.0.0 a minor version may change what programs use, and a
// patch only mends. CHANGELOG.md says what.

#ifndef TANDEM_CORE_BASE_VERSION_H_
#define TANDEM_CORE_BASE_VERSION_H_

#define TANDEM_VERSION_MAJOR 0
#define TANDEM_VERSION_MINOR 2
#define TANDEM_VERSION_PATCH 0

// "MAJOR.MINOR.PATCH".
#define TANDEM_VERSION "0.2.0"

// For #if: TANDEM_VERSION_NUMBER >= TANDEM_MAKE_VERSION(0, 2, 0). Minor and patch are below 1,000.
#define TANDEM_MAKE_VERSION(major, minor, patch) ((major) * 1'000'000 + (minor) * 1'000 + (patch))
#define TANDEM_VERSION_NUMBER TANDEM_MAKE_VERSION(TANDEM_VERSION_MAJOR, TANDEM_VERSION_MINOR, TANDEM_VERSION_PATCH)

#endif  // TANDEM_CORE_BASE_VERSION_H_

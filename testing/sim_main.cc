// SPDX-License-Identifier: Apache-2.0
//
// The main() of every binary with simulation tests.

#include "tandem/testing/runner.h"

int main(int argc, char** argv) { return tandem::testing::SimTestMain(argc, argv); }

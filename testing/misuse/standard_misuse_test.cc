// SPDX-License-Identifier: Apache-2.0
//
// A build without C++20, by a compiler whose default is older. core/cxx.bzl looks at the flags before.

#ifdef COMPILES_WITHOUT_CPP20
// error: "Tandem needs C++20, in the whole build: compile with -std=c++20."
#include "tandem/tandem.h"
#else
#include <string>
#endif

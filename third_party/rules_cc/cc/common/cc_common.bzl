# SPDX-License-Identifier: Apache-2.0
"""cc_common under the name that .bzl files load it from."""

load(":builtin.bzl", "BUILTIN_CC_COMMON")

cc_common = BUILTIN_CC_COMMON

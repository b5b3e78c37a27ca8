# SPDX-License-Identifier: Apache-2.0
"""CcInfo under the name that .bzl files load it from."""

load(":builtin.bzl", "BUILTIN_CC_INFO")

CcInfo = BUILTIN_CC_INFO

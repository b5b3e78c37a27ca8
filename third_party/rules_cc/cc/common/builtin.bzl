# SPDX-License-Identifier: Apache-2.0
"""What this Bazel has built in. A file cannot give a name to itself, so the others take it from here."""

BUILTIN_CC_COMMON = cc_common
BUILTIN_CC_INFO = CcInfo

# SPDX-License-Identifier: Apache-2.0
"""The rule for shell tests under the name that BUILD files load it from; this Bazel has it built in."""

sh_test = native.sh_test

# SPDX-License-Identifier: Apache-2.0
"""The rules that programs on Tandem load: a binary, a seeded simulation, and a test for several worlds."""

load("//core:defs.bzl", _tandem_binary = "tandem_binary")
load("//testing:defs.bzl", _sim_test = "sim_test", _tandem_test = "tandem_test")

sim_test = _sim_test
tandem_binary = _tandem_binary
tandem_test = _tandem_test

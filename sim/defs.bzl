# SPDX-License-Identifier: Apache-2.0
"""sim_unit_test: a googletest program about a part of the simulator."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def sim_unit_test(name, srcs = None, deps = [], size = "small", **kwargs):
    """A cc_test with googletest and its main().

    Args:
      name: The name of the test.
      srcs: Its sources. None: <name>.cc.
      deps: Its libraries. googletest is added.
      size: How long it may take, as Bazel says.
      **kwargs: Passed to cc_test.
    """
    cc_test(
        name = name,
        size = size,
        srcs = srcs if srcs != None else [name + ".cc"],
        deps = deps + [
            Label("@com_google_googletest//:gtest"),
            Label("@com_google_googletest//:gtest_main"),
        ],
        **kwargs
    )

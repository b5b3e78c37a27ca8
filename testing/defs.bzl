# SPDX-License-Identifier: Apache-2.0
"""sim_test and tandem_test: tests that choose their world at the link."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load("//core:defs.bzl", "reactor_label")

# What of a tandem_test belongs to the compilation of its sources. All else belongs to the tests.
_COMPILE_ATTRIBUTES = ["copts", "defines", "features", "includes", "local_defines", "textual_hdrs"]

def sim_test(name, srcs, deps = [], seeds = None, portable = False, regressions = None, covers = None, args = [], data = [], **kwargs):
    """A program of SIM_TESTs: seeded simulations, each seed in a process of its own.

    Args:
      name: The name of the test.
      srcs: Its sources, with SIM_TEST(...) bodies.
      deps: Its libraries. The harness, its main() and the simulated world are added.
      seeds: How many seeds a run has over all shards, unless --test_arg=--seeds=N or --test_env=TANDEM_SEEDS=N says
        otherwise. None: the harness's default.
      portable: The tests do not depend on the order of addresses (docs/simulation.md), so --check_determinism moves them.
      regressions: Files with scenarios, as a failing seed prints them and --pin writes them, that run before the seeds.
        None: its corpus, corpus/<name>/*.scenario.
      covers: Packages, as "storage/log": the test fails if none of its seeds reaches a TANDEM_SOMETIMES or
        TANDEM_REACHABLE in one of their files, or if one of them, but for its own, has no assertion. None: its own
        package. No shard knows the seeds of the others: where there are shards and this is given, a second test,
        <name>_sometimes, runs all seeds and decides.
      args: Further arguments of the harness, such as --max_events=N.
      data: Files that the tests read.
      **kwargs: Passed to cc_test, among them shard_count: the shards divide the seeds.
    """
    if seeds != None and (type(seeds) != "int" or seeds < 1):
        fail("sim_test %s: seeds = %r: expected a whole number from 1, or None for the harness's default" % (name, seeds))
    if regressions == None:
        regressions = native.glob(["corpus/%s/*.scenario" % name], allow_empty = True)
    sharded = kwargs.pop("shard_count", None)
    shards = {name: sharded}
    if sharded and covers != None:
        shards[name + "_sometimes"] = None
    for test, count in shards.items():
        cc_test(
            name = test,
            srcs = srcs,
            shard_count = count,
            linkstatic = True,  # The harness's own clock_gettime() and the like must be the program's.
            args = (["--default_seeds=%d" % seeds] if seeds != None else []) + (["--portable"] if portable else []) +
                   ["--covers=" + (package or ".") for package in covers or [native.package_name()]] +
                   ["--regression=$(rootpath %s)" % file for file in regressions] + args,
            data = data + regressions,
            deps = deps + [
                Label("//testing:sim_main"),
                reactor_label("sim"),
            ],
            **kwargs
        )

def tandem_test(
        name,
        srcs,
        deps = [],
        hdrs = [],
        reactors = ["sim", "uring", "epoll"],
        main = Label("@com_google_googletest//:gtest_main"),
        tags = [],
        **kwargs):
    """One googletest program for several worlds: the same object files, linked once with each reactor.

    Makes a test <name>_<reactor> for each reactor and a test_suite <name> of them all.

    Args:
      name: The name of the suite.
      srcs: The sources of the test.
      deps: Its libraries. The reactor is added.
      hdrs: Headers of the test itself.
      reactors: Some of "sim", "uring", "epoll".
      main: The library with main().
      tags: Tags of the tests.
      **kwargs: Passed to cc_test, or to the cc_library of the sources where they are about compilation.
    """
    compile_attributes = {key: kwargs.pop(key) for key in _COMPILE_ATTRIBUTES if key in kwargs}
    objects = name + "_objects"
    cc_library(
        name = objects,
        testonly = True,
        srcs = srcs,
        hdrs = hdrs,
        deps = deps + [
            Label("@com_google_googletest//:gtest"),
            Label("//testing:expectation_context_at_start"),
        ],
        alwayslink = True,  # Tests register themselves; nothing refers to them.
        tags = ["manual"],
        visibility = ["//visibility:private"],
        **compile_attributes
    )
    tests = []
    for reactor in reactors:
        test = "%s_%s" % (name, reactor)
        cc_test(
            name = test,
            linkstatic = True,
            tags = tags,
            deps = [
                ":" + objects,
                main,
                reactor_label(reactor),
            ],
            **kwargs
        )
        tests.append(":" + test)
    native.test_suite(
        name = name,
        tags = [tag for tag in tags if tag == "manual"],
        tests = tests,
    )

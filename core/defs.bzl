# SPDX-License-Identifier: Apache-2.0
"""tandem_binary: a program and the world it runs in.

Libraries know no reactor. A binary adds one when it is linked, so the object files are the same in every world.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary")

# The reactors by the name of their world.
REACTORS = {
    "sim": Label("//sim:reactor"),
    "uring": Label("//uring:reactor"),
    "epoll": Label("//posix:reactor"),
}

def reactor_label(reactor):
    """Returns the library of the reactor called `reactor`, a key of REACTORS."""
    if reactor not in REACTORS:
        fail("unknown reactor '%s', expected one of: %s" % (reactor, ", ".join(REACTORS.keys())))
    return REACTORS[reactor]

def tandem_binary(name, deps = [], reactor = None, **kwargs):
    """A cc_binary with a reactor.

    Args:
      name: The name of the binary.
      deps: Libraries; none of them names a reactor.
      reactor: "sim", "uring" (which falls back to epoll) or "epoll". None: the one of the flag //:world, which is
        uring if nothing sets it.
      **kwargs: Passed to cc_binary.
    """
    cc_binary(
        name = name,
        deps = deps + [reactor_label(reactor) if reactor else Label("//core:reactor")],
        **kwargs
    )

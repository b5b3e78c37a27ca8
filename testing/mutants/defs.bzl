# SPDX-License-Identifier: Apache-2.0
"""mutants: a simulation of a program, and of copies of it that are broken."""

load("//testing:defs.bzl", "sim_test")

def mutants(name, srcs, broken, deps, seeds, tags = [], **kwargs):
    """A sim_test of a program, and for each patch the same test of a broken copy.

    The mutant of NAME.patch is called NAME and is made by hand or by tools/mutants, since it fails; its source is made
    by every build, so that a patch that does not apply any more is an error.

    A mutant is linked from the broken copy and the libraries of the unbroken program. Where the source belongs to a
    library, the copy takes its place: a linker takes the object of a library only for what is not defined yet.

    Args:
      name: The name of the unbroken test.
      srcs: The sources of the test.
      broken: The source that each patch breaks, by the name of the patch without ".patch".
      deps: The libraries of the test, and those whose headers the broken sources include.
      seeds: How many seeds the unbroken test runs.
      tags: Tags of the unbroken test.
      **kwargs: Passed to sim_test.
    """
    sim_test(
        name = name,
        srcs = srcs,
        seeds = seeds,
        tags = tags,
        deps = deps,
        **kwargs
    )
    for mutant, source in broken.items():
        copy = "broken/%s/%s" % (mutant, source.split(":")[-1])
        patch = mutant + ".patch"
        native.genrule(
            name = mutant + "_source",
            testonly = True,
            srcs = [source, patch],
            outs = [copy],
            cmd = ("cat $(execpath %s) >$@ && " +
                   "{ patch --force --fuzz=0 --no-backup-if-mismatch --reject-file=- $@ $(execpath %s) >$@.log || " +
                   "{ cat $@.log; echo '%s does not apply to %s: make it anew'; exit 1; }; }") %
                  (source, patch, patch, source),
        )
        sim_test(
            name = mutant,
            srcs = [src for src in srcs if src != source] + [copy],
            tags = ["manual"],
            visibility = ["//testing/mutants:__pkg__"],
            deps = deps,
            **kwargs
        )

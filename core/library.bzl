# SPDX-License-Identifier: Apache-2.0
"""tandem_library: a cc_library of Tandem, whose headers are included as "tandem/<package>/<header>"."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def tandem_library(name, hdrs = [], deps = [], **kwargs):
    """A cc_library whose headers have a path of their own in every project.

    Without the prefix a header of ours would be found by the folders that it happens to have in common with those who
    use it: a program's own core/base/instant.h would take the place of Tandem's, within Tandem.

    Args:
      name: The name of the library.
      hdrs: Its headers, of this package.
      deps: Its libraries. The check that the build has C++20 is added.
      **kwargs: Passed to cc_library.
    """
    cc_library(
        name = name,
        hdrs = hdrs,
        include_prefix = ("tandem/" + native.package_name()).rstrip("/"),
        strip_include_prefix = "/" + native.package_name(),
        deps = deps + [Label("//core:cxx20")],
        **kwargs
    )

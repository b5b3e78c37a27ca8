# SPDX-License-Identifier: Apache-2.0
"""tandem_deps: the external repositories of Tandem, for a WORKSPACE (Bazel 4 to 6).

Nothing is downloaded by Bazel: the libraries come from the source archives that tools/setup has checked and unpacked,
the rules of Debian's Bazel from Debian packages. MODULE.bazel says the same for Bazel 7 and newer.
"""

def _link_all(repository_ctx, folder):
    for entry in folder.readdir():
        if entry.basename not in ["WORKSPACE", "WORKSPACE.bazel"]:
            repository_ctx.symlink(entry, entry.basename)
    repository_ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % repository_ctx.name, executable = False)

def _checkout_folder_impl(repository_ctx):
    root = repository_ctx.path(Label("//:WORKSPACE")).dirname
    folder = root
    for name in repository_ctx.attr.path.split("/"):
        folder = folder.get_child(name)
    if not folder.exists:
        fail("\n\nTandem's dependencies are not there yet: run\n    %s\n" % root.get_child("tools").get_child("setup"))
    _link_all(repository_ctx, folder)
    if repository_ctx.attr.build_file:
        repository_ctx.symlink(repository_ctx.attr.build_file, "BUILD.bazel")

# A folder of Tandem's own tree, wherever that lies.
_checkout_folder = repository_rule(
    implementation = _checkout_folder_impl,
    attrs = {
        "path": attr.string(mandatory = True, doc = "Relative to the root of Tandem."),
        "build_file": attr.label(doc = "Taken for the BUILD file of the root, where the folder has none."),
    },
    local = True,
)

def _debian_package_impl(repository_ctx):
    folder = repository_ctx.path(repository_ctx.attr.path)
    if not folder.exists:
        fail(("\n\nThe Debian package %s is missing: install it, or run Tandem's tools/setup, or declare the repository " +
              "'%s' before the call of tandem_deps().\n") % (repository_ctx.attr.package, repository_ctx.name))
    _link_all(repository_ctx, folder)

# Bazel rules as a Debian package brings them.
_debian_package = repository_rule(
    implementation = _debian_package_impl,
    attrs = {
        "package": attr.string(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    local = True,
)

def _maybe(rule, name, **kwargs):
    if not native.existing_rule(name):
        rule(name = name, **kwargs)

def tandem_deps():
    """Declares what Tandem builds with. A repository that the WORKSPACE has declared before is left as it is."""
    _maybe(_debian_package, "bazel_skylib", package = "bazel-skylib", path = "/usr/share/bazel/tools/skylib")

    # Debian's Bazel has no version and, unlike a released one, brings these not itself.
    if native.bazel_version in ["", "no_version"]:
        _maybe(_debian_package, "platforms", package = "bazel-platforms", path = "/usr/share/bazel/tools/platforms")
        _maybe(_debian_package, "rules_java", package = "bazel-rules-java", path = "/usr/share/bazel/rules/java")

        # Every test rule refers to the coverage tools, whether or not coverage is wanted.
        _maybe(_checkout_folder, "remote_coverage_tools", path = "third_party/remote_coverage_tools")

    # Debian's rules_cc is too new for Bazel 4, and up to Bazel 7 the C++ and shell rules are built in.
    _maybe(_checkout_folder, "rules_cc", path = "third_party/rules_cc")
    _maybe(_checkout_folder, "rules_shell", path = "third_party/rules_shell")

    _maybe(_checkout_folder, "com_google_absl", path = "third_party/src/abseil-cpp")
    _maybe(_checkout_folder, "com_google_googletest", path = "third_party/src/googletest")
    _maybe(_checkout_folder, "com_github_google_benchmark", path = "third_party/src/benchmark")
    _maybe(
        _checkout_folder,
        "liburing",
        build_file = Label("//third_party:liburing.BUILD"),
        path = "third_party/src/liburing",
    )

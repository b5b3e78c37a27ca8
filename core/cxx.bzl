# SPDX-License-Identifier: Apache-2.0
"""How C++ is compiled here, and the rule that refuses a build without C++20."""

load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

_ACTION = "c++-compile"

# Not where fail() is, whose line Bazel shows too.
_OLD_STANDARD = """

Tandem needs C++20, in the whole build, and this one has %s. Put this into your .bazelrc:
    build --cxxopt=-std=c++20 --host_cxxopt=-std=c++20
"""

# What a rule that calls cxx_compiler() needs: these attributes, and the fragment "cpp".
CXX_ATTRIBUTES = {
    "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
}

def cxx_compiler(ctx, deps = []):
    """Returns the compiler with the flags that a source with these dependencies gets, without its own copts.

    Args:
      ctx: Of a rule that has CXX_ATTRIBUTES.
      deps: Targets with CcInfo.

    Returns:
      A struct: `path` of the compiler, `flags`, `environment`, and `inputs`, a depset of what it reads.
    """
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features + ["layering_check"],
    )
    headers = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in deps]).compilation_context
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts,
        include_directories = headers.includes,
        quote_include_directories = headers.quote_includes,
        system_include_directories = headers.system_includes,
        preprocessor_defines = headers.defines,
    )
    how = {"action_name": _ACTION, "feature_configuration": features}
    return struct(
        path = cc_common.get_tool_for_action(**how),
        flags = cc_common.get_memory_inefficient_command_line(variables = variables, **how),
        environment = cc_common.get_environment_variables(variables = variables, **how),
        inputs = depset(transitive = [headers.headers, toolchain.all_files]),
    )

def _cxx20_impl(ctx):
    # Before anything is compiled: Abseil would fail first, with pages about its templates. A compiler without a flag
    # has a default, which tandem.h looks at.
    standards = [flag for flag in cxx_compiler(ctx).flags if flag.startswith("-std=")]
    if standards and standards[-1].split("++")[-1] in ["98", "03", "0x", "11", "1y", "14", "1z", "17"]:
        fail(_OLD_STANDARD % standards[-1])
    return [CcInfo()]

cxx20 = rule(
    implementation = _cxx20_impl,
    doc = "A library of nothing, which fails in a build whose flags ask for an older standard than C++20.",
    attrs = CXX_ATTRIBUTES,
    fragments = ["cpp"],
)

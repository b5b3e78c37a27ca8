# SPDX-License-Identifier: Apache-2.0
"""misuse_test: code that the compiler must refuse, and the words with which it does."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load("//core:cxx.bzl", "CXX_ATTRIBUTES", "cxx_compiler")

def _misuse_test_impl(ctx):
    compiler = cxx_compiler(ctx, ctx.attr.deps)

    # What the compiler says is found when the test is built, so that it is kept as object files are; the test tells it.
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(
        executable = ctx.executable._compile,
        arguments = [script.path, ctx.file.src.path, compiler.path] + compiler.flags + ctx.attr.copts,
        inputs = depset([ctx.file.src], transitive = [compiler.inputs]),
        outputs = [script],
        env = compiler.environment,
        use_default_shell_env = True,
        mnemonic = "CompileMisuses",
    )
    return [DefaultInfo(executable = script)]

misuse_test = rule(
    implementation = _misuse_test_impl,
    doc = "Compiles each misuse in `src` (compile_misuses.py says how they are written) and looks at what is said.",
    attrs = dict(
        CXX_ATTRIBUTES,
        copts = attr.string_list(),
        deps = attr.label_list(providers = [CcInfo]),
        src = attr.label(allow_single_file = [".cc"], mandatory = True),
        _compile = attr.label(
            default = Label("//testing/misuse:compile_misuses.py"),
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    ),
    fragments = ["cpp"],
    test = True,
)

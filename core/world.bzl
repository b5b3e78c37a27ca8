# SPDX-License-Identifier: Apache-2.0
"""The flag that chooses the world."""

WORLDS = ["sim", "uring", "epoll"]

def _world_flag_impl(ctx):
    if ctx.build_setting_value not in WORLDS:
        fail("%s=%s: expected one of: %s" % (ctx.label, ctx.build_setting_value, ", ".join(WORLDS)))

world_flag = rule(
    implementation = _world_flag_impl,
    build_setting = config.string(flag = True),
)

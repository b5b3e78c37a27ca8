#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs trim_cache_test.py, which needs nothing but Python.
exec python3 -B "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/trim_cache_test.py"

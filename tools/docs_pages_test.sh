#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Tests docs_pages.py, then looks in the checkout, which it finds behind the link to its data, for commands without a
# marker.

set -euo pipefail

source_folder=$(dirname "$(realpath "$TEST_SRCDIR/$TEST_WORKSPACE/tools/docs_pages.py")")
export PYTHONDONTWRITEBYTECODE=1
(cd "$source_folder" && python3 docs_pages_test.py)
# Git asks that the owner of a checkout is the one who uses it; reading it is harmless.
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' "$source_folder/docs_test" --check

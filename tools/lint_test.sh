#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Tests the rules of lint_source.py, then applies them to the checkout, which it finds behind the link to its data.

set -euo pipefail

source_folder=$(dirname "$(realpath "$TEST_SRCDIR/$TEST_WORKSPACE/tools/lint_source.py")")
export PYTHONDONTWRITEBYTECODE=1
(cd "$source_folder" && python3 lint_source_test.py)
# Git asks that the owner of a checkout is the one who uses it; reading it is harmless.
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
  python3 "$source_folder/lint_source.py" "$source_folder/.."

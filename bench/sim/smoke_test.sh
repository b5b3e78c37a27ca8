#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a benchmark for a moment, `smoke_test.sh PROGRAM FLAGS -- FIELDS`, and checks that its JSON line has the fields,
# with numbers that are not 0. Checks no speed.
set -eu

program=$1
shift
flags=
while [ "$1" != -- ]; do
  flags="$flags $1"
  shift
done
shift
line=$("$program" $flags)
echo "$line"
for field in "$@"; do
  echo "$line" | grep -qE "\"$field\": [0-9.]*[1-9]" || { echo "no $field" >&2; exit 1; }
done

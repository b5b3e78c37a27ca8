#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs pool_waiters with a few calls and checks that it prints its JSON line. Checks no time.
set -eu

line=$("$1" --waiters=3000 --hosts=7 --connections=2)
echo "$line"
for field in '"waiters": 3000' '"acquire_gap_ms": [0-9]' '"acquire_gap_cpu_ms": [0-9]' '"drain_gap_ms": [0-9]' \
  '"drain_gap_cpu_ms": [0-9]' '"drain_cpu_ns": [1-9]'; do
  echo "$line" | grep -q "$field" || { echo "no $field" >&2; exit 1; }
done

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs sim_echo for a moment and checks that it prints its JSON line. Checks no speed.
set -eu

line=$("$1" --pairs=3 --seconds=0.05)
echo "$line"
for field in '"pairs": 3' '"seconds": ' '"round_trips": [1-9]' '"round_trips_per_s": [1-9]' '"events_per_s": [1-9]' \
  '"round_trips_per_cpu_s": [1-9]'; do
  echo "$line" | grep -q "$field" || { echo "no $field" >&2; exit 1; }
done

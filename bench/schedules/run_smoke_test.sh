#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the table of schedules for a moment: each program is built and run, easy ones are found by the portfolio, and one
# that no schedule in order finds is not found by fifo. Checks no time.
set -eu

all=$("$1" --max=2 --bases=1)
echo "$all"
echo "$all" | grep -q '^30 programs' || { echo "not 30 programs" >&2; exit 1; }

easy=$("$1" --max=2000 --bases=2 --programs=lazy01,deadlock01,reorder_3,stringbuffer)
echo "$easy"
echo "$easy" | grep -q '^4 programs: 4 found' || { echo "not found" >&2; exit 1; }

fifo=$("$1" --max=3 --bases=1 --programs=reorder_3 --policy=fifo)
echo "$fifo" | grep -q '^1 programs: 0 found' || { echo "found by fifo" >&2; exit 1; }

explored=$("$1" --max=100000 --bases=1 --programs=reorder_3,lazy01 --policy=explore)
echo "$explored" | grep -q '^2 programs: 2 found' || { echo "not found by explore" >&2; exit 1; }

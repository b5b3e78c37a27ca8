#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What check_history says of files, and its exit codes.

set -uo pipefail

readonly CHECK=testing/check_history
readonly FILES=testing/testdata/histories
failed=0

# expect EXIT_CODE TEXT ARGUMENTS...: of a run with the arguments; TEXT is in what it prints.
expect() {
  local want=$1 text=$2 output code
  shift 2
  output=$("$CHECK" "$@" 2>&1)
  code=$?
  if [[ $code != "$want" || $output != *"$text"* ]]; then
    printf 'check_history %s\nexits with %s, not with %s and "%s"; prints\n%s\n' "$*" "$code" "$want" "$text" "$output"
    failed=1
  fi
}

readonly TMP=${TEST_TMPDIR:?}
readonly OPEN='{"client":"ann","object":"x","name":"add","arguments":["1"],"outcome":"open","invoked":0}'
readonly GET='{"client":"bob","object":"x","name":"get","arguments":[],"outcome":"answered","answer":"1","invoked":1,"returned":2}'
printf '%s\n%s\n' "$OPEN" "$GET" >"$TMP/ok.jsonl"
printf '%s\n' "$GET" >"$TMP/bad.jsonl"
printf 'nonsense\n' >"$TMP/nonsense"

expect 0 "ok_failed_cas.log: linearizable (3 operations, 5 steps)" --model=register $FILES/ok_*.log
expect 0 "ok_appends.txt: linearizable" --model=kv $FILES/ok_*.txt
expect 1 "bad_failed_cas.log: not linearizable (4 operations" --model=register $FILES/{ok,bad}_failed_cas.log
expect 1 "would answer true" --model=register $FILES/bad_failed_cas.log
expect 1 '"k" is not linearizable' --model=kv $FILES/bad_lost_append.txt
expect 0 "ok.jsonl: linearizable (2 operations" --model=counter "$TMP/ok.jsonl"
expect 1 "would answer 0" --model=counter "$TMP/bad.jsonl"
expect 2 'no operation "add" with 1 arguments' --model=queue "$TMP/ok.jsonl"
expect 2 "gave up" --model=register --steps_max=3 $FILES/ok_failed_cas.log
expect 2 "nonsense: line 1: not of the form" --model=register "$TMP/nonsense" $FILES/ok_failed_cas.log
expect 1 "nonsense: line 1: not of the form" --model=kv "$TMP/nonsense" $FILES/bad_lost_append.txt
expect 2 "nonsense: line 1: not an operation" --model=lock "$TMP/nonsense"
expect 2 "missing: cannot be read" --model=register "$TMP/missing"
expect 0 "--model=register" --help
expect 2 "--model is one of" "$TMP/ok.jsonl"
expect 2 "--model is one of" --model=stack "$TMP/ok.jsonl"
expect 2 "no file" --model=register
expect 2 "unknown flag --verbose" --verbose
expect 2 "--steps_max is no number" --model=register --steps_max=many "$TMP/ok.jsonl"
exit $failed

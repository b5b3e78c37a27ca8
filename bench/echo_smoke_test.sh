#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The baseline, the load generator and the comparison work together, and what is JSON parses. No time is asserted.
set -euo pipefail
server_binary=$1
load_binary=$2
compare=$3
directory=$(mktemp -d "${TEST_TMPDIR:-/tmp}/echo_smoke.XXXXXX")

"${server_binary}" --help | grep -q -- --buffer_size
"${load_binary}" --help | grep -q -- --server_pid

# Runs the load against a server, with flags for the server before `--` and for the load after it.
run_case() {
  local server_flags=()
  while [[ $1 != -- ]]; do
    server_flags+=("$1")
    shift
  done
  shift
  rm -f "${directory}/server" "${directory}/load"
  "${server_binary}" --port=0 "${server_flags[@]}" >"${directory}/server" &
  local pid=$!
  trap 'kill -KILL '"${pid}"' 2>/dev/null || true' EXIT
  for _ in $(seq 200); do
    [[ -s ${directory}/server ]] && break
    sleep 0.05
  done
  local first_line
  first_line=$(head -n 1 "${directory}/server")
  [[ ${first_line} =~ ^listening\ on\ 127\.0\.0\.1:([0-9]+)$ ]]
  "${load_binary}" --port="${BASH_REMATCH[1]}" --server_pid="${pid}" --seconds=0.3 --warmup_seconds=0.05 "$@" \
    >"${directory}/load"
  kill -TERM "${pid}"
  wait "${pid}"
  trap - EXIT
  python3 - "${directory}" <<'PYTHON'
import json
import sys

directory = sys.argv[1]
load = json.loads(open(directory + "/load").read())
assert load["round_trips"] > 0 and load["server_cpu_us_per_message"] > 0, load
server = json.loads(open(directory + "/server").read().splitlines()[-1])
assert server["messages"] > 0 and server["enters"] > 0, server
assert server["bytes"] >= load["round_trips"] * load["message_bytes"], (server, load)
print(load, server)
PYTHON
}

run_case -- --connections=20
# More connections than buffers, messages larger than one: the ring runs dry and sends wait for each other.
run_case --buffers=4 --buffer_size=256 -- --connections=20 --in_flight=8 --message_bytes=1001

# The baseline against itself.
"${compare}" --a="${server_binary} --port=0" --b="${server_binary} --port=0" --load="${load_binary}" --rounds=2 \
  --connections=10 --in_flight=1 --seconds=0.1 --warmup_seconds=0.02 >"${directory}/comparison"
grep -q 'A/B server CPU per message: median [0-9]' "${directory}/comparison"
grep -q 'enters per 64-byte message: [0-9]' "${directory}/comparison"

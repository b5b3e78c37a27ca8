#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs tools/setup in an empty checkout with an empty cache and an apt-get that does what the test wants: it must fail
# with one sentence and leave nothing behind that a later run takes for good.

set -uo pipefail

work=$(mktemp -d "$TEST_TMPDIR/setup.XXXXXX")
mkdir -p "$work"/checkout/tools "$work"/bin
cp "$(realpath "$TEST_SRCDIR/$TEST_WORKSPACE/tools/setup")" "$work/checkout/tools/setup"
failed=0

# fails NAME PATTERN: tools/setup must exit with 1 and print, besides what it is doing, one line: PATTERN.
fails() {
  local name=$1 pattern=$2 output status
  output=$(PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" "$work/checkout/tools/setup" 2>&1)
  status=$?
  output=$(grep -v '^tools/setup: fetching ' <<<"$output")
  if [[ $status -eq 1 && $output != *$'\n'* && $output =~ ^"tools/setup: "$pattern ]]; then
    echo "ok: $name"
  else
    echo "FAILED: $name: status $status, output:"
    echo "$output"
    failed=1
  fi
  if compgen -G "$work/checkout/third_party/src/*/.tandem-sha256" >/dev/null; then
    echo "FAILED: $name: a library counts as unpacked"
    failed=1
  fi
}

apt_get() {
  printf '#!/bin/sh\n%s\n' "$1" >"$work/bin/apt-get"
  chmod +x "$work/bin/apt-get"
}

apt_get 'echo "E: Temporary failure resolving"; exit 100'
fails "no network" "could not read the package lists of .* is there a network\? \(E: Temporary failure resolving\)$"

apt_get 'case "$*" in *" source "*) echo "E: Connection failed"; exit 100 ;; esac'
fails "the network ends half way" "could not fetch abseil.* is there a network\? \(E: Connection failed\)$"

apt_get 'case "$*" in *" source "*) echo something else >abseil_20240722.0.orig.tar.gz ;; esac'
fails "another archive than the one that is pinned" \
  "wrong checksum: abseil_20240722.0.orig.tar.gz has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}\.$"
[[ -z $(ls -A "$work/cache/tandem/sources") ]] || { echo "FAILED: a wrong archive stays in the cache"; failed=1; }

for archive in abseil_20240722.0 googletest_1.12.1 benchmark_1.7.1 liburing_2.9; do
  echo damaged >"$work/cache/tandem/sources/$archive.orig.tar.gz"
done

fails "a damaged archive in the cache" "wrong checksum: .*; remove it and run this again\.$"

rm -r "$work/checkout/third_party" && touch "$work/checkout/third_party"
fails "no place for the sources" "cannot write to .*/third_party/src, where the libraries' sources belong\.$"

exit $failed

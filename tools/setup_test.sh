#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs tools/setup in an empty checkout with an empty cache and an apt-get that does what the test wants: it must fail
# with one sentence and leave nothing behind that a later run takes for good.

set -uo pipefail

# Without a folder, the commands below would take the place of those of the machine.
work=$(mktemp -d "${TEST_TMPDIR:?run it with bazel test}/setup.XXXXXX") || exit
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

# --- Systems that it does not know -----------------------------------------------------------------------------------

rm -r "$work/cache" "$work/checkout/third_party"
apt_get 'echo "E: called for nothing"; exit 100'

# system FIELDS MACHINE: what the following runs take this machine for.
system() {
  printf '%s\n' "$1" >"$work/os-release"
  export TANDEM_OS_RELEASE=$work/os-release
  printf '#!/bin/sh\necho %s\n' "$2" >"$work/bin/uname"
  chmod +x "$work/bin/uname"
}

# run_there: sets `output` and `status`.
run_there() {
  output=$(PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" "$work/checkout/tools/setup" 2>&1)
  status=$?
}

# says NAME STATUS PATTERN...: each pattern is in the output; the first at its beginning.
says() {
  local name=$1 expected=$2 first="^" pattern
  shift 2
  run_there
  for pattern in "$@"; do
    if [[ $status -ne $expected || ! $output =~ $first$pattern ]]; then
      echo "FAILED: $name: status $status, not '$pattern' in:"
      echo "$output"
      failed=1
      return
    fi
    first=""
  done
  echo "ok: $name"
}

# refuses NAME PATTERN...: as says(), and nothing was tried or changed.
refuses() {
  local name=$1
  says "$name" 1 "${@:2}"
  if [[ $output == *"network"* || $output == *"called for nothing"* || -e $work/cache || -e $work/checkout/third_party ]]; then
    echo "FAILED: $name: it has tried something: $output"
    failed=1
  fi
}

# dpkg_query PACKAGES: those are installed.
dpkg_query() {
  printf '#!/bin/sh\nfor p in %s; do echo "installed $p"; done\n' "$1" >"$work/bin/dpkg-query"
  chmod +x "$work/bin/dpkg-query"
}

dpkg_query "git make"
ubuntu=$'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04.1 LTS"'
system "$ubuntu" x86_64
refuses "Ubuntu" "tools/setup: this is Ubuntu 24.04.1 LTS on x86_64. " "Missing, by their names in Debian: bazel-bootstrap .*clang-19" \
  "abseil_20240722.0.orig.tar.gz .*liburing_2.9.orig.tar.gz" "a container or a virtual machine with Debian 12" \
  "Not tested: sudo apt-get install bazel-bootstrap [^\$]*clang-19" "docs/platforms.md"
system $'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42"' aarch64
refuses "Fedora" "tools/setup: this is Fedora Linux 42 on aarch64. " "Not tested: sudo dnf install .*Fedora has no Bazel"
system "" x86_64
refuses "a system without a name" "tools/setup: this is a system without .*os-release on x86_64. "

system $'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"' x86_64
says "a later Debian is tried" 1 "tools/setup: this is Debian GNU/Linux 13 \(trixie\) on x86_64. Debian 12 on x86_64 is what is tested" \
  "called for nothing"
system $'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' aarch64
says "another processor is tried" 1 "tools/setup: this is Debian GNU/Linux 12 \(bookworm\) on aarch64. Debian 12 on x86_64 is what" \
  "called for nothing"
system $'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' x86_64
says "the system that it knows is not talked about" 1 "tools/setup: (installing|fetching)" "called for nothing"

# Without root: what to run as root.
printf '#!/bin/sh\n[ "$*" != -u ] && echo nobody || echo 1000\n' >"$work/bin/id"
printf '#!/bin/sh\nexit 1\n' >"$work/bin/sudo"
chmod +x "$work/bin/id" "$work/bin/sudo"
system $'ID=debian\nVERSION_ID="12"' x86_64
dpkg_query "git make"
fails "no root" "packages are missing, installing them needs root, .* apt-get install --no-install-recommends bazel-bootstrap .*"
rm "$work/bin/id"

# What somebody has brought by hand is good on any system.
system "$ubuntu" x86_64
dpkg_query "$(sed -n '/^readonly PACKAGES=(/,/^)/p' "$work/checkout/tools/setup" | grep '^  ' | tr '\n' ' ')"
grep -oE '^  "[a-z]+ [a-z]+ .* [0-9a-f]{64} [a-z-]+"' "$work/checkout/tools/setup" | tr -d '"' |
  while read -r package suite archive sha256 folder; do
    mkdir -p "$work/checkout/third_party/src/$folder"
    echo "$sha256" >"$work/checkout/third_party/src/$folder/.tandem-sha256"
  done
says "Ubuntu with everything" 0 "tools/setup: ready."

exit $failed

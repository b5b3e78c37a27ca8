#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Puts the timeline's page together, as a C++ source: the style and the scripts, as one module, go into the page, and
# their hashes into its content-security policy.
#
# Usage: timeline_page.sh PAGE STYLE SCRIPT... >FILE.cc

set -euo pipefail
readonly page=$1 style=$2
shift 2

# Of the input, in base64, as the policy wants it.
hash_of() {
  local hex
  hex=$(sha256sum | cut -c1-64)
  # shellcheck disable=SC2059 # The bytes are escapes of the format.
  printf "$(sed 's/../\\x&/g' <<<"$hex")" | base64
}

style_hash=$(hash_of <"$style")
script_hash=$(cat "$@" | hash_of)
echo '#include "tandem/testing/report/timeline_page.h"'
echo 'namespace tandem::testing {'
printf 'const absl::string_view kTimelinePage = R"page('
# The hashes are of what is between the tags, so nothing comes between a tag and the text.
while IFS= read -r line; do
  case $line in
    @style@)
      printf '<style>'
      cat "$style"
      echo '</style>'
      ;;
    @script@)
      printf '<script type="module">'
      cat "$@"
      echo '</script>'
      ;;
    *)
      line=${line//@style_hash@/$style_hash}
      printf '%s\n' "${line//@script_hash@/$script_hash}"
      ;;
  esac
done <"$page"
echo ')page";'
echo '}  // namespace tandem::testing'

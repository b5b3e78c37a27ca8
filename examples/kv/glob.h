// SPDX-License-Identifier: Apache-2.0
//
// Glob patterns as KEYS, SCAN and CONFIG GET understand them.

#ifndef TANDEM_EXAMPLES_KV_GLOB_H_
#define TANDEM_EXAMPLES_KV_GLOB_H_

#include <string_view>

namespace tandem::kv {

// Tells whether the whole of `text` matches `pattern`, byte by byte:
//   *       any run of bytes, the empty one too
//   ?       any single byte
//   [a-z]   one byte of the set; ranges may be written either way round; `\x` inside stands for x
//   [^x]    one byte outside the set
//   \x      the byte x itself
// A set without its ']' reaches to the end of the pattern; a last '\' stands for itself. The empty set matches nothing.
//
// Time is at most pattern.size() * text.size(): a failure goes back to the last '*' only, because an earlier one can
// match nothing that the last one cannot. No allocation, no recursion.
bool GlobMatches(std::string_view pattern, std::string_view text);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_GLOB_H_

// SPDX-License-Identifier: Apache-2.0
//
// The options that the sanitizers start with. They are compiled in because a simulation runs with an empty environment.
// The variables ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS still override them. A runtime that is not linked in does
// not call its function.

extern "C" {

const char* __asan_default_options() {
  return "detect_leaks=1:check_initialization_order=1:strict_init_order=1:strict_string_checks=1:"
         "external_symbolizer_path=/usr/lib/llvm-19/bin/llvm-symbolizer";
}

const char* __ubsan_default_options() {
  return "print_stacktrace=1:halt_on_error=1:external_symbolizer_path=/usr/lib/llvm-19/bin/llvm-symbolizer";
}

const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:"
         "external_symbolizer_path=/usr/lib/llvm-19/bin/llvm-symbolizer";
}

}  // extern "C"

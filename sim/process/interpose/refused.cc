// SPDX-License-Identifier: Apache-2.0
//
// The calls that a world refuses. Each has a definition of a few instructions, made from symbols.inc, that knows
// neither its arguments nor its result: it asks whether the call may pass, and jumps to the definition behind with
// everything as it was. So even vfork() can pass, which returns twice.

#include <stdio.h>

#include <atomic>

#include "absl/debugging/symbolize.h"
#include "absl/log/log.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/process/interpose/calls.h"
#include "tandem/sim/process/interpose/table.h"
#include "tandem/sim/process/interpose/trap.h"

// Defined by the runtime libraries of the sanitizers.
extern "C" void __sanitizer_print_stack_trace() __attribute__((weak));

namespace tandem::sim::interpose {
namespace {

using Function = void (*)();

using Refused = NextDefinition<Function>;

const CallEntry& EntryOf(const Refused& refused) {
  for (const CallEntry& entry : CallTable()) {
    if (entry.number < 0 && absl::string_view(entry.name) == refused.name()) return entry;
  }
  FailByName(refused.name(), "it is not in the table");
}

// The runtimes of the sanitizers call libc by its names: UBSan writes into a pipe to see whether memory can be read.
__attribute__((noinline)) bool IsOfSanitizer(const void* caller) {
  if (&__sanitizer_print_stack_trace == nullptr) return false;
  const Unobserved unobserved;  // The symbolizer opens files.
  char name[256];
  if (!absl::Symbolize(caller, name, sizeof(name))) return false;
  for (const absl::string_view part : {"__sanitizer", "__asan", "__lsan", "__ubsan", "__tsan", "__interception"}) {
    if (absl::StrContains(name, part)) return true;
  }
  return false;
}

// Other programs would inherit the filter and have nobody who answers it.
bool StartsProgram(absl::string_view name) {
  return absl::StartsWith(name, "exec") || absl::StartsWith(name, "posix_spawn") || name == "fexecve" ||
         name == "system" || name == "popen" || name == "wordexp";
}

[[noreturn]] __attribute__((noinline)) void FailInWorld(const Refused& refused) {
  char call[64];
  snprintf(call, sizeof(call), "%s()", refused.name());
  FailByName(call, EntryOf(refused).text);
}

}  // namespace

// Called by the definitions: returns where to jump. Has no array of its own: AddressSanitizer would take it from a
// stack in the heap, and each call of the harness would move what comes after it.
extern "C" __attribute__((visibility("hidden"), used)) void* tandem_pass_or_refuse(void* symbol, const void* caller) {
  Refused& refused = *static_cast<Refused*>(symbol);
  if (IsInWorld()) {
    if (!IsOfSanitizer(caller)) FailInWorld(refused);
  } else if (IsTrapped() && StartsProgram(refused.name())) {
    LOG(FATAL) << refused.name()
               << "() was called after a simulated world, whose trap for system calls cannot be taken "
               << "off and would end the other program: start it before, or set TANDEM_TRAP=0";
  }
  return reinterpret_cast<void*>(refused.Get());
}

}  // namespace tandem::sim::interpose

// Keeps all that can hold an argument, asks, and goes on. %rax is pushed by the definition: the number of vector
// registers of a call with `...`; %r11 has the symbol.
asm(R"(
  .pushsection .text
  .type tandem_gate, @function
tandem_gate:
  .cfi_startproc
  .cfi_adjust_cfa_offset 8
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %r8
  pushq %r9
  subq $128, %rsp
  andq $-16, %rsp
  movaps %xmm0, (%rsp)
  movaps %xmm1, 16(%rsp)
  movaps %xmm2, 32(%rsp)
  movaps %xmm3, 48(%rsp)
  movaps %xmm4, 64(%rsp)
  movaps %xmm5, 80(%rsp)
  movaps %xmm6, 96(%rsp)
  movaps %xmm7, 112(%rsp)
  movq %r11, %rdi
  movq 16(%rbp), %rsi
  call tandem_pass_or_refuse
  movq %rax, %r11
  movaps (%rsp), %xmm0
  movaps 16(%rsp), %xmm1
  movaps 32(%rsp), %xmm2
  movaps 48(%rsp), %xmm3
  movaps 64(%rsp), %xmm4
  movaps 80(%rsp), %xmm5
  movaps 96(%rsp), %xmm6
  movaps 112(%rsp), %xmm7
  movq -8(%rbp), %rdi
  movq -16(%rbp), %rsi
  movq -24(%rbp), %rdx
  movq -32(%rbp), %rcx
  movq -40(%rbp), %r8
  movq -48(%rbp), %r9
  movq %rbp, %rsp
  popq %rbp
  .cfi_def_cfa %rsp, 16
  popq %rax
  .cfi_adjust_cfa_offset -8
  jmp *%r11
  .cfi_endproc
  .size tandem_gate, . - tandem_gate
  .popsection
)");

// The definition of a refused call, and what it is about.
#define TANDEM_REFUSED(symbol, family, instead)                                                                  \
  extern "C" void tandem_interceptor_of_##symbol() asm("__interceptor_" #symbol) __attribute__((weak));          \
  extern "C" {                                                                                                   \
  __attribute__((visibility("hidden"), used)) constinit tandem::sim::interpose::Refused tandem_refused_##symbol{ \
      #symbol, &tandem_interceptor_of_##symbol};                                                                 \
  }                                                                                                              \
  asm("  .pushsection .text\n"                                                                                   \
      "  .globl " #symbol                                                                                        \
      "\n"                                                                                                       \
      "  .type " #symbol ", @function\n" #symbol                                                                 \
      ":\n"                                                                                                      \
      "  .cfi_startproc\n"                                                                                       \
      "  endbr64\n"                                                                                              \
      "  pushq %rax\n"                                                                                           \
      "  .cfi_adjust_cfa_offset 8\n"                                                                             \
      "  leaq tandem_refused_" #symbol                                                                           \
      "(%rip), %r11\n"                                                                                           \
      "  jmp tandem_gate\n"                                                                                      \
      "  .cfi_endproc\n"                                                                                         \
      "  .size " #symbol ", . - " #symbol                                                                        \
      "\n"                                                                                                       \
      "  .popsection\n");
#include "tandem/sim/process/interpose/symbols.inc"

// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/isolation/globals.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {
namespace {

// What the simulation itself consists of. A program's own variables may have types of these, but not names.
constexpr absl::string_view kNotOfTheProgram[] = {
    "tandem::", "absl::", "std::", "testing::", "__gnu_cxx::", "__cxxabiv1::", "_", "DW.ref.",
    "completed.",  // Of the implementation: the compiler, the sanitizers,
                   // coverage.
    "FLAGS_",      // Of Abseil; each becomes what it is at its first use.
};
// Of the macros of Abseil and googletest, within functions of the program.
constexpr absl::string_view kOfMacros[] = {"absl_log_internal", "::absl_", "gtest_", "::test_info_"};

class MappedFile {
 public:
  explicit MappedFile(const char* path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info{};
    if (file < 0) return;
    if (fstat(file, &info) == 0 && info.st_size > 0) {
      void* const data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file, 0);
      if (data != MAP_FAILED) content_ = {static_cast<const char*>(data), static_cast<size_t>(info.st_size)};
    }
    close(file);
  }
  ~MappedFile() {
    if (!content_.empty()) munmap(const_cast<char*>(content_.data()), content_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::string_view content() const { return content_; }

 private:
  absl::string_view content_;
};

// Where the executable lies in memory.
struct Image {
  uintptr_t base = 0;
  const char* thread_data = nullptr;  // Of the calling thread.
  std::vector<std::pair<uint64_t, uint64_t>> writable;
  std::vector<std::pair<uint64_t, uint64_t>> constant;  // Written by the dynamic linker alone.
};

int DescribeImage(dl_phdr_info* info, size_t /*size*/, void* data) {
  Image& image = *static_cast<Image*>(data);
  image.base = info->dlpi_addr;
  image.thread_data = static_cast<const char*>(info->dlpi_tls_data);
  for (const ElfW(Phdr)* part = info->dlpi_phdr; part != info->dlpi_phdr + info->dlpi_phnum; ++part) {
    const std::pair<uint64_t, uint64_t> range(part->p_vaddr, part->p_vaddr + part->p_memsz);
    if (part->p_type == PT_LOAD && (part->p_flags & PF_W) != 0) image.writable.push_back(range);
    if (part->p_type == PT_GNU_RELRO) image.constant.push_back(range);
  }
  return 1;  // The first is the executable.
}

bool IsIn(const std::vector<std::pair<uint64_t, uint64_t>>& ranges, uint64_t address) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [address](const auto& range) { return range.first <= address && address < range.second; });
}

std::string Demangle(const char* symbol) {
  int status = 0;
  char* const text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = text != nullptr ? text : symbol;
  std::free(text);
  return name;
}

bool IsOfTheProgram(absl::string_view name) {
  return !absl::EndsWith(name, "::operator()() const::site") &&  // Of VLOG().
         std::none_of(std::begin(kNotOfTheProgram), std::end(kNotOfTheProgram),
                      [name](absl::string_view start) { return absl::StartsWith(name, start); }) &&
         std::none_of(std::begin(kOfMacros), std::end(kOfMacros),
                      [name](absl::string_view part) { return absl::StrContains(name, part); });
}

absl::string_view Section(absl::string_view file, const Elf64_Shdr& header) {
  return file.substr(header.sh_offset, header.sh_size);
}

}  // namespace

absl::StatusOr<std::vector<GlobalVariable>> ProgramGlobals() {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  return absl::UnimplementedError("a sanitizer has global variables of its own: build without one");
#endif
  const MappedFile file("/proc/self/exe");
  if (file.content().size() < sizeof(Elf64_Ehdr)) return absl::FailedPreconditionError("cannot read /proc/self/exe");
  Image image;
  dl_iterate_phdr(&DescribeImage, &image);

  const auto& header = *reinterpret_cast<const Elf64_Ehdr*>(file.content().data());
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(file.content().data() + header.e_shoff);
  const auto* const table = std::find_if(sections, sections + header.e_shnum,
                                         [](const Elf64_Shdr& section) { return section.sh_type == SHT_SYMTAB; });
  if (table == sections + header.e_shnum) {
    return absl::FailedPreconditionError("the program has no table of symbols: it was stripped");
  }
  const absl::string_view names = Section(file.content(), sections[table->sh_link]);
  const auto* const symbols = reinterpret_cast<const Elf64_Sym*>(Section(file.content(), *table).data());

  std::map<const char*, GlobalVariable> variables;  // By address: a variable may have several symbols.
  std::map<std::string, const char*> guards;        // By the mangled name of the variable, without its "_Z".
  std::map<const char*, std::string> mangled;
  for (const Elf64_Sym* symbol = symbols; symbol != symbols + table->sh_size / sizeof(Elf64_Sym); ++symbol) {
    const int type = ELF64_ST_TYPE(symbol->st_info);
    if ((type != STT_OBJECT && type != STT_TLS) || symbol->st_shndx == SHN_UNDEF || symbol->st_size == 0) continue;
    const bool of_thread = type == STT_TLS;
    if (of_thread ? image.thread_data == nullptr
                  : !IsIn(image.writable, symbol->st_value) || IsIn(image.constant, symbol->st_value)) {
      continue;
    }
    const char* const address =
        of_thread ? image.thread_data + symbol->st_value : reinterpret_cast<const char*>(image.base + symbol->st_value);
    const char* const name = names.data() + symbol->st_name;
    if (absl::StartsWith(name, "_ZGV")) guards[name + 4] = address;
    std::string readable = Demangle(name);
    if (!IsOfTheProgram(readable) || absl::StartsWith(readable, "guard variable for ")) continue;
    mangled[address] = name;
    variables[address] = {std::move(readable), address, symbol->st_size};
  }
  std::vector<GlobalVariable> found;
  for (auto& [address, variable] : variables) {
    const std::string& symbol = mangled[address];
    const auto guard = guards.find(symbol.size() > 2 ? symbol.substr(2) : "");
    if (guard != guards.end()) variable.guard = guard->second;
    found.push_back(std::move(variable));
  }
  return found;
}

}  // namespace tandem::sim

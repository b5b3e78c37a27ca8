// SPDX-License-Identifier: Apache-2.0
//
// `--name=value` flags for the benchmark programs that are kept free of every library: the baselines have to stand on
// their own. A program lists its flags, then calls Parse(), which answers --help and refuses what it does not know.

#ifndef TANDEM_BENCH_FLAGS_H_
#define TANDEM_BENCH_FLAGS_H_

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace tandem::bench {

class Flags {
 public:
  // `usage` is what --help prints above the list of flags.
  explicit Flags(std::string usage) : usage_(std::move(usage)) {}

  // Adds a flag. `*value` holds the default and must outlive Parse(). Numbers outside `minimum` and `maximum` are
  // refused.
  void Add(const char* name, std::string* value, const char* help) { flags_.push_back({name, value, help, 0, 0}); }
  void Add(const char* name, int64_t* value, int64_t minimum, int64_t maximum, const char* help) {
    flags_.push_back({name, value, help, static_cast<double>(minimum), static_cast<double>(maximum)});
  }
  void Add(const char* name, double* value, double minimum, double maximum, const char* help) {
    flags_.push_back({name, value, help, minimum, maximum});
  }

  // Sets the values from the command line. Ends the program for --help (0) and for a mistake (2).
  void Parse(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      if (argument == "--help" || argument == "-h") {
        PrintHelp();
        std::exit(0);
      }
      if (!ParseOne(argument)) {
        std::fprintf(stderr, "%s: bad argument '%s'; --help lists the flags\n", argv[0], argv[i]);
        std::exit(2);
      }
    }
  }

 private:
  struct Flag {
    std::string_view name;
    std::variant<std::string*, int64_t*, double*> value;
    const char* help;
    double minimum;
    double maximum;
  };

  bool ParseOne(std::string_view argument) {
    const size_t equals = argument.find('=');
    if (!argument.starts_with("--") || equals == std::string_view::npos) return false;
    const std::string_view name = argument.substr(2, equals - 2);
    const std::string_view text = argument.substr(equals + 1);
    for (Flag& flag : flags_) {
      if (flag.name != name) continue;
      if (auto* string_value = std::get_if<std::string*>(&flag.value)) {
        **string_value = std::string(text);
        return true;
      }
      if (auto* int_value = std::get_if<int64_t*>(&flag.value)) return ParseNumber(text, flag, *int_value);
      return ParseNumber(text, flag, std::get<double*>(flag.value));
    }
    return false;
  }

  template <typename Number>
  static bool ParseNumber(std::string_view text, const Flag& flag, Number* value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
    return error == std::errc() && end == text.data() + text.size() && *value >= flag.minimum && *value <= flag.maximum;
  }

  void PrintHelp() const {
    std::printf("%s\n", usage_.c_str());
    for (const Flag& flag : flags_) {
      std::printf("  --%s=", std::string(flag.name).c_str());
      if (auto* string_value = std::get_if<std::string*>(&flag.value)) {
        std::printf("%s", (*string_value)->c_str());
      } else if (auto* int_value = std::get_if<int64_t*>(&flag.value)) {
        std::printf("%lld", static_cast<long long>(**int_value));
      } else {
        std::printf("%g", *std::get<double*>(flag.value));
      }
      std::printf("   %s\n", flag.help);
    }
  }

  std::string usage_;
  std::vector<Flag> flags_;
};

}  // namespace tandem::bench

#endif  // TANDEM_BENCH_FLAGS_H_

#include "tests/support/cuda_shim/shared_memory.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/poison.h"

namespace unet::shim {
namespace {

struct Array {
  volatile unsigned char* data;
  std::size_t bytes;
};

struct Symbol {
  std::string_view name;  // mangled
  ElfW(Addr) address;
  std::size_t bytes;
};

/// The program's functions by address, and its variables.
struct Symbols {
  std::map<ElfW(Addr), std::string_view> functions;
  std::vector<Symbol> variables;
};

/// The running program's file, until it ends. Mapped and not read: its debug information is most of it.
std::string_view own_file() {
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0) throw std::runtime_error("the shim cannot open the running program");
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED) throw std::runtime_error("the shim cannot map the running program");
  return {static_cast<const char*>(mapped), bytes};
}

template <class T>
T read(std::string_view file, std::size_t at) {
  T out;
  std::memcpy(&out, file.data() + at, sizeof out);
  return out;
}

/// From the symbol table of the running program: no section attribute holds for variables of template functions.
Symbols read_symbols() {
  const std::string_view file = own_file();
  ElfW(Addr) base = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* to) {
        *static_cast<ElfW(Addr)*>(to) = info->dlpi_addr;
        return 1;  // the first is the program
      },
      &base);
  Symbols out;
  const auto header = read<ElfW(Ehdr)>(file, 0);
  const auto section = [&](std::size_t i) { return read<ElfW(Shdr)>(file, header.e_shoff + i * header.e_shentsize); };
  for (std::size_t s = 0; s < header.e_shnum; ++s) {
    const auto table = section(s);
    if (table.sh_type != SHT_SYMTAB) continue;
    const auto names = section(table.sh_link);
    for (std::size_t at = 0; at < table.sh_size; at += sizeof(ElfW(Sym))) {
      const auto symbol = read<ElfW(Sym)>(file, table.sh_offset + at);
      const char* name = file.data() + names.sh_offset + symbol.st_name;
      const int type = symbol.st_info & 0xf;
      if (type == STT_FUNC) out.functions.emplace(base + symbol.st_value, name);
      if (type == STT_OBJECT && std::string_view(name).starts_with("_ZZ")) {
        out.variables.push_back({name, base + symbol.st_value, symbol.st_size});
      }
    }
  }
  return out;
}

const Symbols& symbols() {
  static const Symbols known = read_symbols();
  return known;
}

std::string_view mangled_name(const void* kernel) {
  const auto function = symbols().functions.find(reinterpret_cast<ElfW(Addr)>(kernel));
  if (function == symbols().functions.end())
    throw std::logic_error("the shim needs the program's symbols: do not strip it");
  return function->second;
}

std::vector<Array> find_arrays(const void* kernel) {
  // A variable v of the function _Zf is mangled _ZZfEv.
  const std::string prefix = "_ZZ" + std::string(mangled_name(kernel).substr(2)) + "E";
  std::vector<Array> out;
  for (const Symbol& variable : symbols().variables) {
    if (!variable.name.starts_with(prefix)) continue;
    out.push_back({reinterpret_cast<unsigned char*>(variable.address), variable.bytes});
  }
  return out;
}

const std::vector<Array>& arrays_of(const void* kernel) {
  static std::map<const void*, std::vector<Array>> known;
  const auto found = known.find(kernel);
  return found != known.end() ? found->second : known.emplace(kernel, find_arrays(kernel)).first->second;
}

}  // namespace

void poison_shared_memory(const void* kernel) {
  for (const Array& array : arrays_of(kernel)) {
    for (std::size_t i = 0; i < array.bytes; ++i) array.data[i] = tests::kPoison;
  }
}

int shared_arrays(const void* kernel) { return static_cast<int>(arrays_of(kernel).size()); }

std::string kernel_name(const void* kernel) {
  const std::string mangled(mangled_name(kernel));
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  return text == nullptr ? mangled : text.get();
}

}  // namespace unet::shim

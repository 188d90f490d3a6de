#include "tests/fuzz/targets.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "engine/core/error.h"

namespace unet::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> all{
      {"checkpoint", fuzz_checkpoint, checkpoint_seeds, {"corpora/badsafetensors"}},
      {"torch_file", fuzz_torch_file, torch_file_seeds, {}},
      {"record", fuzz_record, record_seeds, {}},
      {"list", fuzz_list, list_seeds, {"data/pets/annotations"}},
      {"image", fuzz_image, image_seeds, {"corpora/badimages", "corpora/pngsuite"}},
      {"class_map", fuzz_class_map, class_map_seeds, {}},
      {"options", fuzz_options, options_seeds, {}},
  };
  return all;
}

MemoryFile::MemoryFile(Bytes bytes) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  path_ = fmt::format("/proc/self/fd/{}", descriptor_);
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (put < 0) throw std::system_error(errno, std::generic_category(), "write");
    done += static_cast<std::size_t>(put);
  }
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

void require(bool holds, const char* promise) {
  if (!holds) throw std::logic_error(promise);
}

bool accepted(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    require(error.what()[0] != '\0', "a refusal says why");
    return false;
  }
  return true;
}

}  // namespace unet::fuzz

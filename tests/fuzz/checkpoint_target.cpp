#include <memory>

#include "engine/core/text.h"
#include "engine/io/safetensors.h"
#include "engine/io/safetensors_header.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_checkpoint(Bytes bytes) {
  const MemoryFile memory(bytes);
  std::unique_ptr<SafetensorsFile> file;
  if (!accepted([&] { file = std::make_unique<SafetensorsFile>(memory.path()); })) return;
  std::uint64_t end = 0;
  for (const TensorInfo& info : file->tensors()) {
    require(info.begin == end, "tensors lie one behind the other");
    end = info.end;
    std::vector<std::byte> data(info.bytes());
    file->read(info, data.data());
    require(file->find(info.name) == &info, "a tensor is found by its name");
    require(printable(info.name).find_first_of("\n\x1b") == std::string::npos, "a name is safe to print");
  }
  const SafetensorsHeader again =
      parse_safetensors_header(make_safetensors_header(file->metadata(), file->tensors()), end);
  require(again.metadata == file->metadata(), "metadata are the same when written again");
  require(again.tensors.size() == file->tensors().size(), "tensors are the same when written again");
  for (std::size_t i = 0; i < again.tensors.size(); ++i) {
    const TensorInfo &a = again.tensors[i], &b = file->tensors()[i];
    require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.begin == b.begin && a.end == b.end,
            "a tensor is the same when written again");
  }
}

}  // namespace unet::fuzz

#include <numeric>

#include "engine/core/text.h"
#include "engine/io/torch_file.h"
#include "tests/fuzz/targets.h"
#include "tests/support/torch_writer.h"

namespace unet::fuzz {
namespace {

void read_file_of(Bytes bytes) {
  const MemoryFile memory(bytes);
  std::unique_ptr<TorchFile> file;
  if (!accepted([&] { file = std::make_unique<TorchFile>(memory.path()); })) return;
  std::uint64_t end = 0;
  for (const TensorInfo& info : file->tensors()) {
    require(info.begin == end, "tensors lie one behind the other");
    end = info.end;
    std::uint64_t elements = 1;
    for (const std::int64_t size : info.shape) elements *= static_cast<std::uint64_t>(size);
    require(info.elements() == elements, "a tensor has the elements of its shape");
    require(end <= kTorchShares * bytes.size(), "tensors are in proportion to the file");
    std::vector<std::byte> data(info.bytes());
    file->read(info, data.data());
    require(file->find(info.name) == &info, "a tensor is found by its name");
  }
  for (const std::string& note : file->notes()) {
    require(plain_length(note) == note.size(), "a note is safe to print");
  }
}

}  // namespace

void fuzz_torch_file(Bytes bytes) {
  read_file_of(bytes);
  if (bytes.size() >= 2 && bytes[0] == 'P') return;
  // A pickle, which no checksum guards here, and storages for it.
  std::string storage(64, '\0');
  std::iota(storage.begin(), storage.end(), '\0');
  const std::string file =
      tests::zip_of({{"m/data.pkl", {bytes.begin(), bytes.end()}}, {"m/data/0", storage}, {"m/data/1", "12345678"}});
  read_file_of({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()});
}

}  // namespace unet::fuzz

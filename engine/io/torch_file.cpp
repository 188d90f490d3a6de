#include "engine/io/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "engine/core/error.h"
#include "engine/io/pickle.h"
#include "engine/io/safetensors_header.h"
#include "engine/io/zip_entries.h"

namespace unet {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kTensor = "torch._utils\n_rebuild_tensor_v2",
                           kParameter = "torch._utils\n_rebuild_parameter";
struct StorageRow {
  std::string_view global;
  SafeDtype dtype;
};
constexpr StorageRow kStorages[] = {
    {"torch\nFloatStorage", SafeDtype::kF32},     {"torch\nHalfStorage", SafeDtype::kF16},
    {"torch\nBFloat16Storage", SafeDtype::kBF16}, {"torch\nDoubleStorage", SafeDtype::kF64},
    {"torch\nLongStorage", SafeDtype::kI64},      {"torch\nIntStorage", SafeDtype::kI32},
    {"torch\nByteStorage", SafeDtype::kU8},       {"torch\nBoolStorage", SafeDtype::kBool},
};
constexpr std::array<std::string_view, 4> kOuter{"state_dict", "model_state_dict", "model", "net"};

enum class Head { zip, pickle, tar, other };

/// By the first bytes; of safetensors the ninth is always a brace.
Head head_of(const InputFile& file) {
  std::string head(std::min<std::uint64_t>(512, file.size()), '\0');
  file.read(head.data(), head.size(), 0);
  if (head.size() < 9 || head[8] == '{') return Head::other;
  if (head.starts_with("PK\x03\x04")) return Head::zip;
  if (head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return Head::pickle;
  return head.size() >= 262 && head.substr(257, 5) == "ustar" ? Head::tar : Head::other;
}

/// The command that makes a file which is read here of one that is not.
std::string conversion(const std::filesystem::path& path, bool runs_code) {
  return fmt::format(
      "python3 -c \"import sys, torch; m = torch.load(sys.argv[1], 'cpu', weights_only={}); torch.save({}, "
      "'converted.pth')\" {}",
      runs_code ? "False" : "True",
      runs_code ? "m.state_dict() if hasattr(m, 'state_dict') else m.get('state_dict', m)" : "m",
      shell_path(path.string()));
}

}  // namespace

/// Takes the tensors out of a pickle, each checked against the storages.
class TorchReader {
 public:
  TorchReader(TorchFile& out, const std::vector<ZipEntry>& entries, std::string folder, Pickle pickle)
      : out_(out), entries_(entries), folder_(std::move(folder)), pickle_(std::move(pickle)) {}

  void run() {
    const PickleValue& root = pickle_[pickle_.root];
    if (root.kind != Kind::dict) throw Error("it holds no dictionary, so no tensors under their names");
    const PickleValue* chosen = &root;
    std::size_t seen = 0;
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue &key = pickle_[root.items[i]], &value = pickle_[root.items[i + 1]];
      const bool outer = key.kind == Kind::text && std::find(kOuter.begin(), kOuter.end(), key.text) != kOuter.end();
      if (outer && ++seen > kOuter.size()) throw Error("it holds an entry \"{}\" twice", key.text);
      if (!outer || value.kind != Kind::dict || !holds_tensors(value)) continue;
      if (chosen != &root) throw Error("it holds more than one dictionary of tensors, the second \"{}\"", key.text);
      chosen = &value;
      out_.notes_.push_back(fmt::format("the dictionary \"{}\" of the file is taken", key.text));
    }
    for (std::size_t i = 0; i < chosen->items.size(); i += 2) entry(pickle_[chosen->items[i]], chosen->items[i + 1]);
    if (passed_over_ > 0) {
      out_.notes_.push_back(fmt::format("passed over, for they are no tensors: {}{}", names_,
                                        passed_over_ > kShown ? fmt::format(", {} more", passed_over_ - kShown) : ""));
    }
    out_.by_name_ = order_by_name(out_.tensors_);
  }

 private:
  static constexpr std::size_t kShown = 3;

  bool is_tensor(std::uint32_t value) const { return pickle_[value].kind == Kind::call; }
  bool holds_tensors(const PickleValue& dict) const {
    for (std::size_t i = 1; i < dict.items.size(); i += 2) {
      if (is_tensor(dict.items[i])) return true;
    }
    return false;
  }

  void entry(const PickleValue& key, std::uint32_t value) {
    if (key.kind != Kind::text) throw Error("its dictionary has a key that is no text");
    if (!is_tensor(value)) {
      if (passed_over_++ < kShown) names_ += fmt::format("{}\"{}\"", names_.empty() ? "" : ", ", printable(key.text));
      return;
    }
    try {
      if (key.text.size() > kTorchNameBytes) {
        throw Error("has a name of {} bytes, at most {} are read", key.text.size(), kTorchNameBytes);
      }
      if ((names_bytes_ += key.text.size()) > kPickleBytes) {  // more than the pickle can spell out
        throw Error("brings the names to more than {} bytes", kPickleBytes);
      }
      if (out_.tensors_.size() == kTorchTensors) throw Error("is one too many: at most {} are read", kTorchTensors);
      tensor(key.text, value);
    } catch (const Error& error) {
      throw Error("tensor \"{}\" {}", printable(key.text), error.what());
    }
  }

  [[noreturn]] static void unknown() { throw Error("is described in a way that is unknown here"); }

  /// The items of a tuple of so many.
  const std::vector<std::uint32_t>& tuple(std::uint32_t value, std::optional<std::size_t> size = {}) const {
    if (pickle_[value].kind != Kind::tuple || (size && pickle_[value].items.size() != *size)) unknown();
    return pickle_[value].items;
  }
  /// The arguments of a call.
  const std::vector<std::uint32_t>& arguments(std::uint32_t call, std::string_view function, std::size_t size) const {
    if (!calls(call, function)) unknown();
    return tuple(pickle_[call].items[1], size);
  }
  bool calls(std::uint32_t value, std::string_view function) const {
    return pickle_[value].kind == Kind::call && pickle_[pickle_[value].items[0]].text == function;
  }
  std::uint64_t size_of(std::uint32_t value, std::string_view what) const {
    if (pickle_[value].kind != Kind::integer) unknown();
    if (pickle_[value].integer < 0) throw Error("has a negative {} ({})", what, pickle_[value].integer);
    return static_cast<std::uint64_t>(pickle_[value].integer);
  }
  std::vector<std::int64_t> sizes_of(std::uint32_t value, std::string_view what) const {
    const std::vector<std::uint32_t>& items = tuple(value);
    if (items.size() > kSafeRank) throw Error("has {} dimensions, at most {} are read", items.size(), kSafeRank);
    std::vector<std::int64_t> out;
    for (const std::uint32_t item : items) out.push_back(static_cast<std::int64_t>(size_of(item, what)));
    return out;
  }

  void tensor(std::string_view name, std::uint32_t value) {
    if (calls(value, kParameter)) value = arguments(value, kParameter, 3)[0];
    // Storage, offset, shape, strides; whether it learns and hooks do not matter.
    const std::vector<std::uint32_t>& of = arguments(value, kTensor, 6);
    TensorInfo info;
    const ZipEntry& storage = storage_of(of[0], info.dtype);
    const std::uint64_t offset = size_of(of[1], "offset"), element = safe_dtype_size(info.dtype);
    TorchFile::View view{0, 0, sizes_of(of[3], "stride")};
    info.shape = sizes_of(of[2], "size");
    if (info.shape.size() != view.strides.size()) unknown();
    const std::uint64_t bytes = safetensors_bytes(info.shape, info.dtype);
    std::uint64_t last = 0, behind = 0;  // elements: from the first to the last, from the storage's to behind the last
    bool overflow = false;
    for (std::size_t i = 0; i < info.shape.size() && bytes > 0; ++i) {
      std::uint64_t reach = 0;
      overflow |= __builtin_mul_overflow(static_cast<std::uint64_t>(info.shape[i] - 1),
                                         static_cast<std::uint64_t>(view.strides[i]), &reach);
      overflow |= __builtin_add_overflow(last, reach, &last);
    }
    overflow |= __builtin_add_overflow(offset, last, &behind) || __builtin_add_overflow(behind, bytes > 0, &behind);
    if (overflow || behind > storage.bytes / element) {
      throw Error("reaches beyond its storage \"{}\" of {} bytes", printable(storage.name), storage.bytes);
    }
    view.begin = storage.begin + offset * element;
    view.bytes = bytes > 0 ? (last + 1) * element : 0;
    require_proportion(std::max(bytes, view.bytes));
    info.name = name;
    info.begin = out_.tensors_.empty() ? 0 : out_.tensors_.back().end;
    info.end = info.begin + bytes;
    out_.tensors_.push_back(std::move(info));
    out_.views_.push_back(std::move(view));
  }

  const ZipEntry& storage_of(std::uint32_t value, SafeDtype& dtype) const {
    if (pickle_[value].kind != Kind::persistent) unknown();
    // "storage", type, key, device, elements.
    const std::vector<std::uint32_t>& id = tuple(pickle_[value].items[0], 5);
    const PickleValue &type = pickle_[id[1]], &key = pickle_[id[2]];
    const auto row = std::find_if(std::begin(kStorages), std::end(kStorages), [&](const StorageRow& r) {
      return type.kind == Kind::global && r.global == type.text;
    });
    if (pickle_[id[0]].text != "storage" || row == std::end(kStorages) || key.kind != Kind::text) unknown();
    dtype = row->dtype;
    const std::uint64_t elements = size_of(id[4], "number of elements");
    const ZipEntry* entry = find_entry(entries_, fmt::format("{}data/{}", folder_, key.text));
    if (entry == nullptr) throw Error("lies in the storage \"{}\", which is not there", printable(key.text));
    if (entry->bytes % safe_dtype_size(dtype) != 0 || entry->bytes / safe_dtype_size(dtype) != elements) {
      throw Error("lies in the storage \"{}\" of {} bytes, which should hold {} elements of {}", printable(entry->name),
                  entry->bytes, elements, safe_dtype_name(dtype));
    }
    return *entry;
  }

  void require_proportion(std::uint64_t bytes) {
    const std::uint64_t most = kTorchShares * out_.file_.size();
    if (bytes > most - std::min(most, taken_)) {
      throw Error("makes the tensors larger than {} bytes, {} times the file", most, kTorchShares);
    }
    taken_ += bytes;
  }

  TorchFile& out_;
  const std::vector<ZipEntry>& entries_;
  std::string folder_;  // with a slash
  Pickle pickle_;
  std::size_t passed_over_ = 0;
  std::string names_;              // of the first of these
  std::uint64_t taken_ = 0;        // bytes of tensors
  std::uint64_t names_bytes_ = 0;  // of their names
};

TorchFile::TorchFile(const std::filesystem::path& path) : TensorFile(path) {
  const auto refuse = [&](std::string_view reason, std::string_view rest) {
    throw Error(fmt::format("\"{}\" is no dictionary of tensors that PyTorch saved: {}; {}", escaped(path.string()),
                            reason, rest));
  };
  if (const Head head = head_of(file_); head != Head::zip) {
    refuse(head == Head::tar ? "it is a tar archive, as PyTorch wrote before 0.2"
                             : "it is a bare pickle, as PyTorch wrote before 1.6",
           "convert it: " + conversion(path, false));
  }
  try {
    const std::vector<ZipEntry> entries = zip_entries(file_);
    const ZipEntry* pickle = nullptr;
    for (const ZipEntry& entry : entries) {
      if (!entry.name.ends_with("/data.pkl")) continue;
      if (pickle != nullptr)
        throw Error("it holds both \"{}\" and \"{}\"", printable(pickle->name), printable(entry.name));
      pickle = &entry;
    }
    if (pickle == nullptr) throw Error("the zip archive holds no NAME/data.pkl");
    if (pickle->bytes > kPickleBytes)
      throw Error("its pickle has {} bytes, at most {} are read", pickle->bytes, kPickleBytes);
    const auto content = [&](const ZipEntry& entry) {
      std::string out(entry.bytes, '\0');
      file_.read(out.data(), out.size(), entry.begin);
      return out;
    };
    const std::string folder = pickle->name.substr(0, pickle->name.rfind('/') + 1), text = content(*pickle);
    const ZipEntry* order = find_entry(entries, folder + "byteorder");
    if (order != nullptr && (order->bytes != 6 || content(*order) != "little")) {
      throw Error("its numbers are not little-endian");
    }
    std::vector<std::string_view> globals{kTensor, kParameter};
    for (const StorageRow& row : kStorages) globals.push_back(row.global);
    TorchReader(*this, entries, folder, read_pickle(text, globals)).run();
  } catch (const ForbiddenGlobal& error) {
    refuse(error.what(),
           "nothing was run. A whole model, or a checkpoint with more than tensors, is converted by this "
           "command, which runs what the file asks for: use it where you trust who made the file: " +
               conversion(path, true));
  } catch (const Error& error) {
    refuse(error.what(), "take another file, write or copy it again, or, of TorchScript, save its state_dict()");
  }
}

void TorchFile::read(const TensorInfo& info, void* destination) const {
  const View& view = views_.at(static_cast<std::size_t>(find(info.name) - tensors_.data()));
  const std::size_t element = safe_dtype_size(info.dtype), rank = info.shape.size();
  std::uint64_t dense = element;  // the bytes between neighbours of a dimension, were they row by row
  bool is_dense = true;
  for (std::size_t i = rank; i-- > 0; dense *= static_cast<std::uint64_t>(info.shape[i])) {
    is_dense &= info.shape[i] == 1 || static_cast<std::uint64_t>(view.strides[i]) * element == dense;
  }
  if (is_dense || view.bytes == 0) return file_.read(destination, view.bytes, view.begin);
  std::vector<char> from(view.bytes);
  file_.read(from.data(), view.bytes, view.begin);
  std::vector<std::int64_t> at(rank, 0);
  char* to = static_cast<char*>(destination);
  for (std::uint64_t i = 0, place = 0; i < info.elements(); ++i, to += element) {
    std::memcpy(to, from.data() + place * element, element);
    for (std::size_t d = rank; d-- > 0;) {
      place += static_cast<std::uint64_t>(view.strides[d]);
      if (++at[d] < info.shape[d]) break;
      place -= static_cast<std::uint64_t>(view.strides[d] * at[d]);
      at[d] = 0;
    }
  }
}

bool is_torch_file(const std::filesystem::path& path) { return head_of(InputFile(path)) != Head::other; }

}  // namespace unet

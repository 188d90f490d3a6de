#include "engine/io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/core/error.h"

namespace unet {
namespace {

struct DtypeRow {
  SafeDtype dtype;
  std::string_view name;
  std::size_t size;
};
constexpr DtypeRow kDtypes[] = {
    {SafeDtype::kBool, "BOOL", 1}, {SafeDtype::kU8, "U8", 1},   {SafeDtype::kI8, "I8", 1},
    {SafeDtype::kI16, "I16", 2},   {SafeDtype::kU16, "U16", 2}, {SafeDtype::kF16, "F16", 2},
    {SafeDtype::kBF16, "BF16", 2}, {SafeDtype::kI32, "I32", 4}, {SafeDtype::kU32, "U32", 4},
    {SafeDtype::kF32, "F32", 4},   {SafeDtype::kF64, "F64", 8}, {SafeDtype::kI64, "I64", 8},
    {SafeDtype::kU64, "U64", 8},
};

constexpr std::string_view kMetadata = "__metadata__";

class Parser {
 public:
  Parser(std::string_view text, std::uint64_t data_bytes) : text_(text), data_bytes_(data_bytes) {}

  SafetensorsHeader parse() {
    if (text_.empty() || text_[0] != '{') fail("does not start with '{'");
    members([this] { entry(); });
    skip_space();
    if (at_ != text_.size()) fail("has text after its end");
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const {
    if (tensor_.empty()) throw Error("the header {} (byte {} of {})", reason, at_, text_.size());
    throw Error("tensor \"{}\" {} (byte {} of the header)", printable(tensor_), reason, at_);
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }

  bool accept(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail(fmt::format("is not valid: '{}' expected", wanted));
  }

  // `member` reads `"key": value`; likewise `element` reads one value of an array.
  template <class Member>
  void members(Member member) {
    expect('{');
    if (accept('}')) return;
    do member();
    while (accept(','));
    expect('}');
  }

  template <class Element>
  void elements(Element element) {
    expect('[');
    if (accept(']')) return;
    do element();
    while (accept(','));
    expect(']');
  }

  unsigned hex4() {
    unsigned value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("holds a broken \\u escape");
      value = value * 16 + static_cast<unsigned>(digit);
    }
    return value;
  }

  void append_escape(std::string& out) {
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    constexpr std::string_view kShort = "\"\\/bfnrt";
    constexpr std::string_view kMeaning = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = kShort.find(c); c != '\0' && i != std::string_view::npos) {
      out += kMeaning[i];
      return;
    }
    if (c != 'u') fail("holds an unknown escape");
    unsigned code = hex4();
    if (code >= 0xD800 && code <= 0xDFFF) {
      const bool pair = code <= 0xDBFF && text_.substr(at_, 2) == "\\u";
      if (pair) at_ += 2;
      const unsigned low = pair ? hex4() : 0;
      if (low < 0xDC00 || low > 0xDFFF) fail("holds half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    const auto put = [&out](unsigned byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
    } else {
      put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)),
          put(0x80 | (code & 0x3F));
    }
  }

  std::string string() {
    expect('"');
    std::string out;
    for (;;) {
      if (at_ >= text_.size()) fail("ends inside a string");
      const unsigned char c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') break;
      if (text_bytes_ + out.size() > kSafeTextBytes)
        fail(fmt::format("holds more than {} bytes of text", kSafeTextBytes));
      if (c < 0x20) fail("holds a raw control character");
      if (c == '\\') {
        ++at_;
        append_escape(out);
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_, 4));
      if (length == 0) fail("holds text that is not valid UTF-8");
      out.append(text_, at_, length);
      at_ += length;
    }
    ++at_;
    text_bytes_ += out.size();
    return out;
  }

  // A plain non-negative integer of at most `limit`: no sign, fraction, exponent or leading zero.
  std::uint64_t integer(const char* what, std::uint64_t limit) {
    skip_space();
    const std::size_t start = at_;
    std::uint64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const std::uint64_t digit = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (limit - digit) / 10) fail(fmt::format("has a value in {} above {}", what, limit));
      value = value * 10 + digit;
    }
    const bool ends = at_ < text_.size() && std::string_view(" \n\r\t,]").find(text_[at_]) != std::string_view::npos;
    if (at_ == start || !ends || (text_[start] == '0' && at_ - start > 1)) {
      fail(fmt::format("has a value in {} that is no plain non-negative integer", what));
    }
    return value;
  }

  void entry() {
    std::string name = string();
    expect(':');
    if (name == kMetadata) {
      if (seen_metadata_) fail("names __metadata__ twice");
      seen_metadata_ = true;
      members([this] { metadata_pair(); });
      return;
    }
    if (header_.tensors.size() == kSafeTensors) fail(fmt::format("names more than {} tensors", kSafeTensors));
    tensor_ = name.empty() ? "(empty name)" : name;
    TensorInfo info;
    info.name = std::move(name);
    unsigned seen = 0;
    members([&] { field(info, seen); });
    for (unsigned i = 0; i < 3; ++i) {
      if ((seen & 1u << i) == 0) fail(fmt::format("has no {}", kFields[i]));
    }
    check_range(info);
    tensor_.clear();
    header_.tensors.push_back(std::move(info));
  }

  void metadata_pair() {
    std::string key = string();
    expect(':');
    std::string value = string();
    if (header_.metadata.size() == kSafeMetadataKeys) {
      fail(fmt::format("has more than {} keys in __metadata__", kSafeMetadataKeys));
    }
    if (!header_.metadata.emplace(key, std::move(value)).second) {
      fail(fmt::format("names the key \"{}\" of __metadata__ twice", printable(key)));
    }
  }

  void field(TensorInfo& info, unsigned& seen) {
    const std::string key = string();
    expect(':');
    const auto found = std::find(std::begin(kFields), std::end(kFields), key);
    if (found == std::end(kFields)) fail(fmt::format("has an unknown field \"{}\"", printable(key)));
    const unsigned bit = 1u << (found - std::begin(kFields));
    if (seen & bit) fail(fmt::format("has {} twice", key));
    seen |= bit;
    if (key == "dtype") {
      info.dtype = dtype();
    } else if (key == "shape") {
      elements([&] {
        if (info.shape.size() == kSafeRank) fail(fmt::format("has more than {} dimensions", kSafeRank));
        info.shape.push_back(static_cast<std::int64_t>(integer("shape", std::numeric_limits<std::int64_t>::max())));
      });
    } else {
      std::size_t count = 0;
      elements([&] {
        if (count == 2) fail("has more than two data_offsets");
        (count++ == 0 ? info.begin : info.end) = integer("data_offsets", std::numeric_limits<std::uint64_t>::max());
      });
      if (count != 2) fail("has fewer than two data_offsets");
    }
  }

  SafeDtype dtype() {
    const std::string name = string();
    for (const DtypeRow& row : kDtypes) {
      if (row.name == name) return row.dtype;
    }
    fail(
        fmt::format("has dtype \"{}\", which is unknown here (BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, "
                    "I64, U64)",
                    printable(name)));
  }

  void check_range(const TensorInfo& info) const {
    if (info.begin > info.end) fail(fmt::format("has data_offsets [{}, {}] in wrong order", info.begin, info.end));
    if (info.end > data_bytes_) {
      fail(fmt::format("needs data up to byte {}, but the file holds {} bytes of data: it is cut short or damaged",
                       info.end, data_bytes_));
    }
    std::uint64_t bytes = 0;
    try {
      bytes = safetensors_bytes(info.shape, info.dtype);
    } catch (const Error& error) {
      fail(error.what());
    }
    if (bytes != info.bytes()) {
      fail(fmt::format("has {} bytes of data, but its shape and dtype {} want {}", info.bytes(),
                       safe_dtype_name(info.dtype), bytes));
    }
  }

  static constexpr std::string_view kFields[] = {"dtype", "shape", "data_offsets"};

  std::string_view text_;
  std::uint64_t data_bytes_;
  std::size_t at_ = 0;
  std::string tensor_;  // the one being read, for messages
  bool seen_metadata_ = false;
  std::size_t text_bytes_ = 0;
  SafetensorsHeader header_;
};

// Each tensor begins where the last ended and the last ends with the file.
void check_layout(const std::vector<TensorInfo>& tensors, std::uint64_t data_bytes) {
  std::uint64_t expected = 0;
  for (const TensorInfo& info : tensors) {
    if (info.begin != expected) {
      throw Error("tensor \"{}\" begins at byte {} of the data, but the one before it ends at byte {}: {}",
                  printable(info.name), info.begin, expected, info.begin < expected ? "they overlap" : "a hole");
    }
    expected = info.end;
  }
  if (expected != data_bytes) {
    throw Error("the tensors end at byte {} of the data, but the file holds {} bytes of data: {} too many", expected,
                data_bytes, data_bytes - expected);
  }
}

std::string quoted(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("the text \"{}\" is not valid UTF-8", printable(text));
  }
}

}  // namespace

std::size_t safe_dtype_size(SafeDtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].size; }
std::string_view safe_dtype_name(SafeDtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].name; }

std::uint64_t safetensors_bytes(const std::vector<std::int64_t>& shape, SafeDtype dtype) {
  std::uint64_t bytes = 1;
  bool overflow = false;
  for (const std::int64_t dim : shape)
    overflow |= __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dim), &bytes);
  overflow |= __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(safe_dtype_size(dtype)), &bytes);
  if (overflow) throw Error("has a shape whose size overflows 64 bits");
  return bytes;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes) {
  SafetensorsHeader header = Parser(text, data_bytes).parse();
  std::vector<TensorInfo>& tensors = header.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  header.by_name = order_by_name(tensors);
  check_layout(tensors, data_bytes);
  return header;
}

std::string make_safetensors_header(const std::map<std::string, std::string>& metadata,
                                    const std::vector<TensorInfo>& tensors) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += quoted(key) + ":" + quoted(value) + ",";
    text.back() = '}';
    text += ',';
  }
  for (const TensorInfo& info : tensors) {
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[", quoted(info.name), safe_dtype_name(info.dtype));
    for (std::size_t i = 0; i < info.shape.size(); ++i) text += fmt::format("{}{}", i ? "," : "", info.shape[i]);
    text += fmt::format("],\"data_offsets\":[{},{}]}},", info.begin, info.end);
  }
  if (text.size() > 1) text.pop_back();
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace unet

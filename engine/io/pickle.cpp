#include "engine/io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace unet {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers of a pickle are copied as they are");

using Kind = PickleValue::Kind;

constexpr std::uint32_t kNothing = 0xffffffff;
constexpr std::size_t kGlobalBytes = 256;

struct Instruction {
  unsigned char code;
  std::string_view name;
};
/// Those that are refused, for their names' sake.
constexpr Instruction kRefused[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x80, "PROTO"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

class Machine {
 public:
  Machine(std::string_view bytes, std::span<const std::string_view> globals) : bytes_(bytes), globals_(globals) {}

  Pickle run() {
    if (!bytes_.starts_with("\x80\x02")) fail("does not begin as protocol 2 does");
    at_ = 2;
    for (std::size_t count = 0; step(take<unsigned char>()); ++count) {
      if (count == kPickleInstructions) fail(fmt::format("has more than {} instructions", kPickleInstructions));
    }
    if (at_ != bytes_.size()) fail("has bytes behind its end");
    pickle_.root = pop();
    if (!stack_.empty() || !marks_.empty()) fail("ends with values left over");
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const {
    throw Error("the pickle {} (byte {} of {})", reason, at_, bytes_.size());
  }

  std::string_view take_bytes(std::size_t count) {
    if (count > bytes_.size() - at_) fail("ends inside an instruction");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  template <class T>
  T take() {
    T out;
    std::memcpy(&out, take_bytes(sizeof out).data(), sizeof out);
    return out;
  }

  void push(std::uint32_t value) {
    if (stack_.size() == kPickleStack) fail(fmt::format("has more than {} values on its stack", kPickleStack));
    stack_.push_back(value);
  }

  void push(PickleValue value) {
    if (pickle_.values.size() == kPickleValues) fail(fmt::format("has more than {} values", kPickleValues));
    pickle_.values.push_back(std::move(value));
    push(static_cast<std::uint32_t>(pickle_.values.size() - 1));
  }
  void push(Kind kind, std::int64_t integer = 0) { push(PickleValue{kind, integer}); }

  /// Values above the last mark.
  std::size_t reach() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  std::uint32_t pop() {
    if (reach() == 0) fail("takes a value where there is none");
    const std::uint32_t out = stack_.back();
    stack_.pop_back();
    return out;
  }
  std::vector<std::uint32_t> pop(std::size_t count) {
    if (reach() < count) fail("takes values where there are none");
    const auto begin = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<std::uint32_t> out(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    return out;
  }
  std::vector<std::uint32_t> pop_to_mark() {
    if (marks_.empty()) fail("takes a mark where there is none");
    std::vector<std::uint32_t> out = pop(reach());
    marks_.pop_back();
    return out;
  }

  PickleValue& top(Kind kind, std::string_view what) {
    if (reach() == 0 || pickle_.values[stack_.back()].kind != kind) fail(what);
    return pickle_.values[stack_.back()];
  }

  void add(Kind kind, const std::vector<std::uint32_t>& items) {
    PickleValue& to = top(kind, "adds to what is no list or dictionary");
    if (kind == Kind::dict && items.size() % 2 != 0) fail("adds a key without a value");
    to.items.insert(to.items.end(), items.begin(), items.end());
  }

  void put(std::uint32_t index) {
    if (reach() == 0) fail("keeps a value where there is none");
    if (index >= kPickleInstructions) fail(fmt::format("keeps more than {} values", kPickleInstructions));
    if (index >= memo_.size()) memo_.resize(std::size_t{index} + 1, kNothing);
    memo_[index] = stack_.back();
  }
  void get(std::uint32_t index) {
    if (index >= memo_.size() || memo_[index] == kNothing) fail("asks for a value that it has not kept");
    push(memo_[index]);
  }

  void push_text() {
    const std::string_view text = take_bytes(take<std::uint32_t>());
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t length = utf8_length(rest);
      if (length == 0) fail("holds text that is not valid UTF-8");
      rest.remove_prefix(length);
    }
    push(PickleValue{Kind::text, 0, text});
  }

  void push_global() {
    const std::string_view rest = bytes_.substr(at_, kGlobalBytes);
    const std::size_t end = rest.find('\n', rest.find('\n') + 1);  // npos + 1 is 0: without one there are not two
    if (end == std::string_view::npos || rest.find('\n') == end) fail("names something without an end");
    const std::string_view global = take_bytes(end + 1).substr(0, end);
    if (global != kOrderedDict && std::find(globals_.begin(), globals_.end(), global) == globals_.end()) {
      std::string name(global);
      std::replace(name.begin(), name.end(), '\n', '.');
      throw ForbiddenGlobal("it asks for \"{}\", which no dictionary of tensors needs", printable(name));
    }
    push(PickleValue{Kind::global, 0, global});
  }

  /// n bytes, least significant first, the last one with the sign.
  void push_long(std::size_t n) {
    const std::string_view digits = take_bytes(n);
    if (n > sizeof(std::int64_t)) return push(Kind::number);
    std::int64_t value = n > 0 && static_cast<signed char>(digits.back()) < 0 ? -1 : 0;
    std::memcpy(&value, digits.data(), n);
    push(Kind::integer, value);
  }

  void reduce() {
    const std::uint32_t arguments = pop();
    const std::uint32_t function = pop();
    if (pickle_[function].kind != Kind::global) fail("calls what is no function");
    if (pickle_[arguments].kind != Kind::tuple) fail("calls with what are no arguments");
    if (pickle_[function].text != kOrderedDict) return push(PickleValue{Kind::call, 0, {}, {function, arguments}});
    if (!pickle_[arguments].items.empty()) fail("makes a dictionary of arguments");
    push(Kind::dict);
  }

  /// False at the end.
  bool step(unsigned char code) {
    switch (code) {
      case '.':
        return false;
      case '(':
        if (marks_.size() == kPickleMarks) fail(fmt::format("is nested more than {} deep", kPickleMarks));
        marks_.push_back(stack_.size());
        break;
      case 'N':
        push(Kind::none);
        break;
      case 0x88:
        push(Kind::boolean, 1);
        break;
      case 0x89:
        push(Kind::boolean, 0);
        break;
      case 'J':
        push(Kind::integer, take<std::int32_t>());
        break;
      case 'K':
        push(Kind::integer, take<std::uint8_t>());
        break;
      case 'M':
        push(Kind::integer, take<std::uint16_t>());
        break;
      case 0x8a:
        push_long(take<std::uint8_t>());
        break;
      case 'G':
        take<double>(), push(Kind::number);
        break;
      case 'X':
        push_text();
        break;
      case 'c':
        push_global();
        break;
      case '}':
        push(Kind::dict);
        break;
      case ']':
        push(Kind::list);
        break;
      case ')':
        push(Kind::tuple);
        break;
      case 0x85:
      case 0x86:
      case 0x87:
        push(PickleValue{Kind::tuple, 0, {}, pop(code - 0x84u)});
        break;
      case 't':
        push(PickleValue{Kind::tuple, 0, {}, pop_to_mark()});
        break;
      case 's':
        add(Kind::dict, pop(2));
        break;
      case 'u':
        add(Kind::dict, pop_to_mark());
        break;
      case 'a':
        add(Kind::list, pop(1));
        break;
      case 'e':
        add(Kind::list, pop_to_mark());
        break;
      case 'q':
        put(take<std::uint8_t>());
        break;
      case 'r':
        put(take<std::uint32_t>());
        break;
      case 'h':
        get(take<std::uint8_t>());
        break;
      case 'j':
        get(take<std::uint32_t>());
        break;
      case 'R':
        reduce();
        break;
      case 'Q':
        push(PickleValue{Kind::persistent, 0, {}, {pop()}});
        break;
      case 'b':  // the attributes of an OrderedDict, _metadata among them
        if (pickle_[pop()].kind != Kind::dict) fail("builds on what is no dictionary");
        top(Kind::dict, "builds what is no dictionary");
        break;
      default:
        refuse(code);
    }
    return true;
  }

  [[noreturn]] void refuse(unsigned char code) const {
    const auto known =
        std::find_if(std::begin(kRefused), std::end(kRefused), [&](const auto& i) { return i.code == code; });
    fail(fmt::format("holds the instruction {} ({:#04x}), which no dictionary of tensors needs",
                     known == std::end(kRefused) ? "unknown" : known->name, code));
  }

  std::string_view bytes_;
  std::span<const std::string_view> globals_;
  std::size_t at_ = 0;
  Pickle pickle_;
  std::vector<std::uint32_t> stack_, memo_;
  std::vector<std::size_t> marks_;  // sizes of the stack
};

}  // namespace

Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> globals) {
  return Machine(bytes, globals).run();
}

}  // namespace unet

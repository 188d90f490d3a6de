// Pickles as data: what each instruction leaves behind, and what is refused, by its name.
#include "engine/io/pickle.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/data_support.h"
#include "tests/support/file_support.h"
#include "tests/support/torch_writer.h"

namespace unet::tests::pickle_test {
namespace {

using namespace std::string_literals;
using Kind = PickleValue::Kind;

constexpr std::array<std::string_view, 1> kKnown{"torch\nFloatStorage"};

Pickle read(const std::string& bytes) { return read_pickle(bytes, kKnown); }

/// What a pickle holds, on one line.
std::string shown(const Pickle& pickle, std::uint32_t value) {
  const PickleValue& v = pickle[value];
  std::string items;
  for (const std::uint32_t item : v.items) items += (items.empty() ? "" : " ") + shown(pickle, item);
  switch (v.kind) {
    case Kind::none:
      return "none";
    case Kind::boolean:
      return v.integer != 0 ? "true" : "false";
    case Kind::integer:
      return std::to_string(v.integer);
    case Kind::number:
      return "number";
    case Kind::text:
      return '"' + std::string(v.text) + '"';
    case Kind::tuple:
      return "(" + items + ")";
    case Kind::list:
      return "[" + items + "]";
    case Kind::dict:
      return "{" + items + "}";
    case Kind::global:
      return std::string(v.text.substr(v.text.find('\n') + 1));
    case Kind::call:
      return "call(" + items + ")";
    case Kind::persistent:
      return "at(" + items + ")";
  }
  return "";
}
std::string shown(const std::string& root) {
  const std::string bytes = pickle_of(root);  // the values point into it
  const Pickle pickle = read(bytes);
  return shown(pickle, pickle.root);
}
std::string refusal(const std::string& bytes) {
  return error_of([&] { read(bytes); });
}
std::string repeated(const std::string& part, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += part;
  return out;
}

TEST(Pickle, EachInstructionLeavesWhatPythonSays) {
  EXPECT_EQ(shown("N"), "none");
  EXPECT_EQ(shown("\x88"), "true");
  EXPECT_EQ(shown("\x89"), "false");
  EXPECT_EQ(shown("K\xff"), "255");
  EXPECT_EQ(shown("M\xff\xff"), "65535");
  EXPECT_EQ(shown("J\xfe\xff\xff\xff"), "-2");
  EXPECT_EQ(shown("\x8a\0"s), "0");
  EXPECT_EQ(shown("\x8a\1\x80"s), "-128");
  EXPECT_EQ(shown("\x8a\2\x80\0"s), "128");
  EXPECT_EQ(shown("\x8a\x08" + little(0x8000000000000000, 8)), "-9223372036854775808");
  EXPECT_EQ(shown("\x8a\x09" + std::string(9, 'x')), "number");
  EXPECT_EQ(shown("G" + std::string(8, '\0')), "number");
  EXPECT_EQ(shown(pickled("\xc3\xa9 t")), "\"\xc3\xa9 t\"");
  EXPECT_EQ(shown(")"), "()");
  EXPECT_EQ(shown("K\1\x85"), "(1)");
  EXPECT_EQ(shown("K\1K\2\x86"), "(1 2)");
  EXPECT_EQ(shown("K\1K\2K\3\x87"), "(1 2 3)");
  EXPECT_EQ(shown("K\1(K\2K\3t\x86"), "(1 (2 3))");
  EXPECT_EQ(shown("(t"), "()");
  EXPECT_EQ(shown("]"), "[]");
  EXPECT_EQ(shown("]K\1a(K\2K\3e"), "[1 2 3]");
  EXPECT_EQ(shown("}K\1K\2s(K\3K\4K\5K\6u"), "{1 2 3 4 5 6}");
  EXPECT_EQ(shown("ctorch\nFloatStorage\n"), "FloatStorage");
  EXPECT_EQ(shown("ctorch\nFloatStorage\nK\1\x85R"), "call(FloatStorage (1))");
  EXPECT_EQ(shown(ordered_dict() + "K\1K\2s}K\7K\7sb"), "{1 2}") << "attributes are left out";
  EXPECT_EQ(shown("K\1Q"), "at(1)");
  EXPECT_EQ(shown("(K\1q\5K\2r" + little(300, 4) + "h\5j" + little(300, 4) + "t"), "(1 2 1 2)");
}

TEST(Pickle, WhatIsKnownIsRefusedWhereItMakesNoSense) {
  const auto expect = [](const std::string& root, const char* reason) {
    const std::string error = refusal(pickle_of(root));
    EXPECT_NE(error.find(reason), std::string::npos) << error << "\nnot: " << reason;
  };
  expect("", "takes a value where there is none");
  expect("NN", "ends with values left over");
  expect("N(", "takes a value where there is none");
  expect("(N", "ends with values left over");
  expect("N.", "has bytes behind its end");
  expect("\x85", "takes values where there are none");
  expect("N(\x85", "takes values where there are none");
  expect("t", "takes a mark where there is none");
  expect("K\1K\2K\3s", "adds to what is no list or dictionary");
  expect("}K\1a", "adds to what is no list or dictionary");
  expect("](K\1K\2u", "adds to what is no list or dictionary");
  expect("}(K\1u", "adds a key without a value");
  expect("q\1", "keeps a value where there is none");
  expect("N(q\1", "keeps a value where there is none");
  expect("Nr\xff\xff\xff\xff", "keeps more than 1048576 values");
  expect("h\1", "asks for a value that it has not kept");
  expect("Nq\2h\1", "asks for a value that it has not kept");
  expect("j\xff\xff\xff\xff", "asks for a value that it has not kept");
  expect("K\1)R", "calls what is no function");
  expect("ctorch\nFloatStorage\nK\1R", "calls with what are no arguments");
  expect("ccollections\nOrderedDict\nK\1\x85R", "makes a dictionary of arguments");
  expect("}K\1b", "builds on what is no dictionary");
  expect("K\1}b", "builds what is no dictionary");
  expect("X\5\0\0\0abc"s, "ends inside an instruction");
  expect("X\xff\xff\xff\xff", "ends inside an instruction");
  expect("X\1\0\0\0\xff"s, "not valid UTF-8");
  expect("\x8a\xff", "ends inside an instruction");
  expect("ctorch", "names something without an end");
  expect("ctorch\n", "names something without an end");
  expect("c" + std::string(300, 'a') + "\nb\n", "names something without an end");
  for (const char* begin : {"", "\x80", "\x80\x01.", "\x80\x03N.", "\x80\x04\x95", "N."}) {
    EXPECT_NE(refusal(begin).find("does not begin as protocol 2 does"), std::string::npos) << begin;
  }
  const std::string whole = pickle_of(pickled_dict({{"a", "K\1"}, {"b", pickled_tuple({"N", "G12345678"})}}));
  EXPECT_EQ(refusal(whole), "");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
}

TEST(Pickle, EveryOtherInstructionIsRefusedByName) {
  const std::string known = "().N\x88\x89JKM\x8aGXc}]\x85\x86\x87tsuaeqrhjRQb";
  for (int code = 0; code < 256; ++code) {
    if (known.find(static_cast<char>(code)) != std::string::npos) continue;
    const std::string error = refusal(pickle_of("NN" + std::string(1, static_cast<char>(code))));
    EXPECT_NE(error.find("holds the instruction "), std::string::npos) << error;
    EXPECT_NE(error.find(fmt::format("({:#04x}), which no dictionary of tensors needs (byte 5 of 6)", code)),
              std::string::npos)
        << error;
  }
  for (const auto& [code, name] : std::vector<std::pair<char, const char*>>{{'i', "INST"},
                                                                            {'o', "OBJ"},
                                                                            {'\x81', "NEWOBJ"},
                                                                            {'\x93', "STACK_GLOBAL"},
                                                                            {'2', "DUP"},
                                                                            {'\x82', "EXT1"},
                                                                            {'P', "PERSID"},
                                                                            {'\x95', "FRAME"}}) {
    EXPECT_NE(refusal(pickle_of(std::string(1, code))).find(fmt::format("the instruction {} (", name)),
              std::string::npos);
  }
}

TEST(Pickle, EveryOtherGlobalIsRefusedByNameBeforeAnythingIsDoneWithIt) {
  for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                                                     {"posix", "system"},
                                                                                     {"builtins", "eval"},
                                                                                     {"__builtin__", "exec"},
                                                                                     {"subprocess", "Popen"},
                                                                                     {"torch", "load"},
                                                                                     {"", ""},
                                                                                     {"collections", "OrderedDict "},
                                                                                     {"Collections", "OrderedDict"},
                                                                                     {"torch", "\x1b[2J"}}) {
    const std::string bytes = pickle_of(pickled_global(module, name) + pickled("touch x") + "\x85R");
    EXPECT_THROW(read(bytes), ForbiddenGlobal) << module << name;
    EXPECT_EQ(refusal(bytes).find('\x1b'), std::string::npos);
  }
  EXPECT_EQ(refusal(pickle_of("cos\nsystem\n")), "it asks for \"os.system\", which no dictionary of tensors needs");
}

TEST(Pickle, BombsCostLittle) {
  const auto expect = [](const char* what, const std::string& root, const std::string& reason) {
    SCOPED_TRACE(what);
    const std::string bytes = pickle_of(root);
    std::string error;
    const double start = processor_seconds();
    const std::size_t heap = peak_heap_bytes([&] { error = refusal(bytes); });
    EXPECT_NE(error.find(reason), std::string::npos) << error;
    if (reason.empty()) {
      EXPECT_EQ(error, "");
    }
    EXPECT_LT(heap, std::size_t{64} << 20);
    EXPECT_LT(processor_seconds() - start, test::sanitized ? 10 : 1);
  };
  constexpr std::size_t kMany = 3'000'000;
  expect("empty dictionaries", std::string(kMany, '}'), "values on its stack");
  expect("values in a list", "](" + repeated(repeated("K\1", 60'000) + "e(", 20), "has more than 400000 values");
  expect("one in tuples", "N" + repeated("\x85", kMany), "has more than 400000 values");
  expect("kept ones, taken again", "Nq\1(" + repeated("h\1", 60'000) + repeated("t(" + repeated("h\1", 60'000), 60),
         "instructions");
  // Each holds the one before twice: 2^100,000 values were they written out.
  expect("doubled again and again", "N" + repeated("q\1h\1\x86", 100'000), "");
  expect("a list of itself", "]q\1h\1a", "");
  expect("marks", std::string(kMany, '('), "is nested more than 64 deep");
  expect("a memo with gaps", repeated("Nr" + little(1'048'575, 4), 60'000) + std::string(1, 't'), "takes a mark");
}

}  // namespace
}  // namespace unet::tests::pickle_test

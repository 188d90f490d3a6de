// Text of others as it is shown: nothing that a terminal obeys, everything that a person reads.
#include "engine/core/text.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/file_support.h"

namespace unet::tests::text_test {
namespace {

TEST(Text, NoByteThatATerminalObeysIsLeft) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string shown = escaped(std::string("a") + static_cast<char>(byte) + "b");
    const bool plain = byte >= 0x20 && byte < 0x7f;
    EXPECT_EQ(shown, plain ? std::string("a") + static_cast<char>(byte) + "b" : fmt::format("a\\x{:02x}b", byte));
  }
  EXPECT_EQ(escaped("\u0080\u009b\u009f\u00a0"), "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f\u00a0");
  // Directions, separators, and what XML forbids.
  for (const char* c : {"\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069",
                        "\ufeff", "\ufffe", "\uffff"}) {
    EXPECT_EQ(escaped(c).substr(0, 2), "\\x") << c;
  }
  EXPECT_EQ(escaped("\xe2\x82"), "\\xe2\\x82") << "a character cut off";
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

TEST(Text, WhatAPersonReadsStays) {
  const std::string text = "p\u00e9tale \u00b5 \u732b \u05d0 \u2027\u202f\u2065\u206a \ufffd \U0001f431 C:\\x1b '\"";
  EXPECT_EQ(escaped(text), text);
  EXPECT_EQ(escaped(escaped("\x1b\n")), escaped("\x1b\n"));
  EXPECT_EQ(plain_length("a\tb\nc\r", "\n\t"), 5u);
}

TEST(Text, AMessageIsCutBetweenCharacters) {
  EXPECT_EQ(printable(std::string(119, 'x') + "\u732b\u732b"), std::string(119, 'x') + "...");
  EXPECT_EQ(printable(std::string(200, '\xbf')).size(), 4 * 116u + 3);
}

TEST(Text, TheLinesOfAnErrorAreTheProgramsOwn) {
  const std::string name = "a\n\x1b[2J";
  EXPECT_STREQ(Error("{}:\n{} {}", name, 3, name.c_str()).what(), "a\\x0a\\x1b[2J:\n3 a\\x0a\\x1b[2J");
}

TEST(Text, APathIsOneWordToAShell) {
  EXPECT_EQ(shell_path("/plain/a_b-c.d"), "/plain/a_b-c.d");
  EXPECT_EQ(shell_path("two words"), "'two words'");
  if (run_command("bash -c true").status != 0) GTEST_SKIP() << "bash is absent";
  for (const std::string path : {"", "a b", "it's", "$(x) `y` \\ \"z\" *", "=x", "~", "p\u00e9tale", "a\nb'\\\t1",
                                 "\xff'7", "\x1b[2J", "-d", "--all x"}) {
    const std::string word = shell_path(path);
    EXPECT_EQ(escaped(word), word) << "may be shown";
    const CommandResult back = run_command("bash -c " + shell_path("printf %s " + word));
    EXPECT_EQ(back.output, (path.starts_with('-') ? "./" : "") + path) << word;
  }
}

}  // namespace
}  // namespace unet::tests::text_test

#include "apps/report/html.h"

#include <gtest/gtest.h>

#include <cmath>

#include "apps/report/page.h"
#include "tests/support/page_parser.h"

namespace unet::tests::html_test {
namespace {

TEST(Html, TextOfOthersStaysText) {
  EXPECT_EQ(html_text("a<b>&\"c\"'</style>"), "a&lt;b&gt;&amp;&quot;c&quot;&#39;&lt;/style&gt;");
  EXPECT_EQ(html_text("\xff\x1b[2J"), "\\xff\\x1b[2J");
}

TEST(Html, NumbersAreShortForAPersonAndWholeForAProgram) {
  EXPECT_EQ(number(1.0 / 3), "<data value=\"0.3333333333333333\">0.3333</data>");
  EXPECT_EQ(number(2.5e-5), "<data value=\"2.5e-05\">2.5e-05</data>");
  EXPECT_EQ(number(std::nullopt), "\u2013");
  EXPECT_EQ(number(std::nan("")), "\u2013");
  EXPECT_EQ(count(1234567), "<data value=\"1234567\">1\u202f234\u202f567</data>");
  EXPECT_EQ(count(-123), "<data value=\"-123\">-123</data>");
}

TEST(Html, PicturesAreBase64) {  // RFC 4648, section 10
  const auto uri = [](std::string_view text) {
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    return jpeg_uri(bytes).substr(std::string_view("data:image/jpeg;base64,").size());
  };
  EXPECT_EQ(uri(""), "");
  EXPECT_EQ(uri("f"), "Zg==");
  EXPECT_EQ(uri("fo"), "Zm8=");
  EXPECT_EQ(uri("foo"), "Zm9v");
  EXPECT_EQ(uri("foob"), "Zm9vYg==");
  EXPECT_EQ(uri("fooba"), "Zm9vYmE=");
  EXPECT_EQ(uri("foobar"), "Zm9vYmFy");
}

TEST(Html, APageAsksForNothingAndRunsNothing) {
  const PageElement page =
      parse_page(html_page("</title><script>x</script>", section("s", "Heading", "<p>text</p>\n")));
  EXPECT_EQ(page.all("title").at(0)->text, "</title><script>x</script>");
  EXPECT_TRUE(page.all("script").empty() && page.all("link").empty() && page.all("iframe").empty());
  EXPECT_EQ(page.all("meta").at(1)->attributes.at("content"),
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'");
  EXPECT_EQ(page.with_id("s").text.find("Heading"), 1u);
  EXPECT_EQ(section("empty", "Heading", ""), "");
}

TEST(Html, TheParserOfTheseTestsRefusesWhatIsNotWellFormed) {
  const std::string head = "<!DOCTYPE html>\n<html>", tail = "</html>\n";
  EXPECT_NO_THROW(parse_page(head + "<p a=\"1\">x &amp; y</p>" + tail));
  for (const char* breach : {"<p>", "</p>", "<p></b>", "<p a=1></p>", "<p a=\"1\" a=\"2\"></p>", "a & b", "a < b",
                             "&nbsp;", "<p id=\"x\"></p><p id=\"x\"></p>", "\x01", "\xff"}) {
    EXPECT_ANY_THROW(parse_page(head + breach + tail)) << breach;
  }
}

TEST(Page, NoPlaceOfThisMachineIsLeft) {
  EXPECT_EQ(without_places("-d /home/me/data/pets --x=/a/b 'quoted /c/d' a/b 1/2 / //"),
            "-d \u2026/pets --x=\u2026/b 'quoted \u2026/d' a/b 1/2 / \u2026/");
  EXPECT_EQ(without_places("/srv/list.txt:3: x"), "\u2026/list.txt:3: x");
}

}  // namespace
}  // namespace unet::tests::html_test

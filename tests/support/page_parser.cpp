#include "tests/support/page_parser.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "engine/core/text.h"

namespace unet::tests {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view page) : page_(page) {}

  PageElement parse() {
    if (const std::size_t plain = plain_length(page_, "\n"); plain != page_.size())
      fail("a byte that is no text", plain);
    take("<!DOCTYPE html>\n");
    PageElement root = element();
    if (root.tag != "html") fail("the root is <" + root.tag + ">", 0);
    if (page_.substr(at_) != "\n") fail("text behind the end", at_);
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& what, std::size_t at) const {
    const std::size_t line = static_cast<std::size_t>(std::count(page_.begin(), page_.begin() + at, '\n')) + 1;
    throw std::runtime_error("line " + std::to_string(line) + ": " + what + ": " + std::string(page_.substr(at, 60)));
  }
  bool sees(std::string_view text) const { return page_.substr(at_).starts_with(text); }
  void take(std::string_view text) {
    if (!sees(text)) fail("expected " + std::string(text), at_);
    at_ += text.size();
  }
  std::string name() {
    const std::size_t begin = at_;
    while (at_ < page_.size() && (std::isalnum(static_cast<unsigned char>(page_[at_])) || page_[at_] == '-')) ++at_;
    if (at_ == begin) fail("expected a name", at_);
    return std::string(page_.substr(begin, at_ - begin));
  }
  /// Up to one of the ends, entities decoded.
  std::string text_until(char end) {
    std::string out;
    while (at_ < page_.size() && page_[at_] != end) {
      if (page_[at_] == '<') fail("a bare <", at_);
      if (page_[at_] != '&') {
        out += page_[at_++];
        continue;
      }
      bool known = false;
      for (const auto& [entity, meaning] :
           {std::pair{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}}) {
        if (!sees(entity)) continue;
        out += meaning;
        at_ += std::string_view(entity).size();
        known = true;
        break;
      }
      if (!known) fail("an unknown entity or a bare &", at_);
    }
    return out;
  }

  PageElement element() {
    PageElement out;
    const std::size_t begin = at_;
    take("<");
    out.tag = name();
    while (sees(" ")) {
      take(" ");
      const std::string key = name();
      take("=\"");
      if (!out.attributes.emplace(key, text_until('"')).second) fail("an attribute given twice", begin);
      take("\"");
      if (key == "id" && !ids_.insert(out.attributes["id"]).second) fail("an id given twice", begin);
    }
    if (sees("/>")) {
      take("/>");
      return out;
    }
    take(">");
    while (!sees("</")) {
      if (at_ >= page_.size()) fail("<" + out.tag + "> is not closed", begin);
      if (sees("<")) {
        out.children.push_back(element());
        out.text += out.children.back().text;
      } else {
        out.text += text_until('<');
      }
    }
    take("</" + out.tag + ">");
    return out;
  }

  std::string_view page_;
  std::size_t at_ = 0;
  std::set<std::string> ids_;
};

void collect(const PageElement& element, std::string_view wanted, std::vector<const PageElement*>& out) {
  if (element.tag == wanted) out.push_back(&element);
  for (const PageElement& child : element.children) collect(child, wanted, out);
}

const PageElement* find(const PageElement& element, std::string_view id) {
  const auto found = element.attributes.find("id");
  if (found != element.attributes.end() && found->second == id) return &element;
  for (const PageElement& child : element.children) {
    if (const PageElement* there = find(child, id)) return there;
  }
  return nullptr;
}

}  // namespace

std::vector<const PageElement*> PageElement::all(std::string_view wanted) const {
  std::vector<const PageElement*> out;
  collect(*this, wanted, out);
  return out;
}

const PageElement& PageElement::with_id(std::string_view id) const {
  if (const PageElement* there = find(*this, id)) return *there;
  throw std::runtime_error("no element has the id " + std::string(id));
}

PageElement parse_page(std::string_view page) { return Parser(page).parse(); }

}  // namespace unet::tests

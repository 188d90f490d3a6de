// A strict reader of the pages that the programs write: well-formed as XML is, nothing that HTML forbids. Small enough
// to be believed.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace unet::tests {

struct PageElement {
  std::string tag;
  std::map<std::string, std::string> attributes;  // decoded
  std::string text;                               // of itself and all within, decoded
  std::vector<PageElement> children;

  /// All elements within that have this tag, in order; itself if it has.
  std::vector<const PageElement*> all(std::string_view wanted) const;
  /// The element of this id. Throws std::runtime_error if there is none.
  const PageElement& with_id(std::string_view id) const;
};

/// The <html> element. Throws std::runtime_error saying where and what: an element that is not closed or closed twice,
/// an attribute that is not quoted or given twice, an unknown entity, a bare & or <, an id given twice, a byte that is
/// no UTF-8, a control character, text behind the end.
PageElement parse_page(std::string_view page);

}  // namespace unet::tests

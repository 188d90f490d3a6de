// The options that say where the data are and what their masks mean; train_unet and eval_unet share them.
#include "apps/option_table.h"

namespace unet {

OptionTable data_rows(DataOptions& o, const std::string& group) {
  return {
      {group, "-d,--data,--data-path,data", name(o.folder, "DIR"), "Folder of images and masks", true},
      {group, "--images", name(o.images, "DIR"), "Folder of images, in that of --data if there is one", true},
      {group, "--masks", name(o.masks, "DIR"), "Folder of masks, likewise", true},
      {group, "--mask-suffix", by_default(name(o.mask_suffix, "TEXT"), "the one that all share"),
       "What a mask's name has behind its image's: _mask", true},
      {group, "--train-list", name(o.train_list, "FILE"), "List of names instead of the layout's splits", true},
      {group, "--val-list", name(o.val_list, "FILE"), "Likewise", true},
      {group, "--test-list", name(o.test_list, "FILE"), "Likewise", true},
      {group, "--follow-links", flag(o.follow_links), "Take pictures that links out of the folder lead to", true},
      {group, "--group-by", pattern(o.group_by),
       "Stems whose first capture group is equal go into one split, as slices of a patient: \"^(.+)_slice\"; lists are "
       "checked for it; a checkpoint remembers it"},
      {group, "--class-map", name(o.class_map, "FILE"),
       "JSON that says which value or colour of a mask is which class; a checkpoint remembers it", true},
      {group, "--binarize", by_default(number(o.binarize, Within{1, 255}), "off"),
       "Masks are class 1 from this gray on, 0 below: for JPEG and soft edges; a checkpoint remembers it", true},
      {group, "--ignore-index",
       told_as(by_default(number(o.ignore_index, Within{0, 255}), "255"),
               [&o] { return o.ignore_index ? told(*o.ignore_index) : "255"; }),
       "Value of index masks whose pixels do not count, besides 255"},
  };
}

std::string resolve(DataOptions& o) {
  if (o.images.empty() != o.masks.empty()) return "--images and --masks go together: give both, or neither";
  if (o.folder.empty() && o.images.empty()) {
    return "--data is required: give the folder of images and masks (-d DIR), or --images DIR --masks DIR";
  }
  if (o.folder.empty()) o.folder = ".";
  if (!o.class_map.empty() && o.binarize > 0) {
    return "--class-map and --binarize both say what masks mean: leave one of them out";
  }
  if (!o.class_map.empty()) o.map = read_class_map(o.class_map);
  return {};
}

}  // namespace unet

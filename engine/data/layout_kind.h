// Which of the known layouts a folder has. Looks at names of folders and opens no file.
#pragma once

#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/list_file.h"

namespace unet {

/// Two folders whose pictures are pairs; Split::all where lists or a hash tell the splits.
struct PairPlace {
  Split split = Split::all;
  std::filesystem::path images, masks;  ///< in the data folder, or absolute
};

struct LayoutKind {
  std::string text;  ///< for a person
  std::vector<PairPlace> places{};
  std::filesystem::path lists{};                  ///< folder of the splits' lists
  ListColumns columns = ListColumns::whole_line;  ///< of these lists
  bool trimaps = false;                           ///< Oxford-IIIT Pet
  bool named = false;                             ///< the options name the two folders
  std::vector<std::string> notes{};

  bool by_folders() const { return places.front().split != Split::all; }
};

///   images/ annotations/trimaps/                 Oxford-IIIT Pet, lists in annotations/
///   JPEGImages/ SegmentationClass/               Pascal VOC, lists in ImageSets/Segmentation/
///   images/{train,val,test}/ masks/{...}/        a folder a split
///   images/ masks/                               lists beside them
///   {train,val,test}/images/ {...}/masks/        a folder a split
///   {train,val,test}/ {train,val,test}annot/     CamVid
/// images/ may be called image/, imgs/ or img/; masks/ mask/, labels/ or label/; val/ valid/ or validation/.
/// Throws Error naming what it looked for and what is there.
LayoutKind recognise_layout(const DatasetOptions& options);

}  // namespace unet

// Pictures of any size by overlapping tiles at the picture's own scale, for networks that are trained on crops and for
// pictures that shrink to nothing at the network's size. What is in memory beside the u8 picture is a tile and a row of
// tiles: the height of the picture has no say.
//
// Along an axis the tiles are spread evenly, each overlaps the next by a quarter of its side at least, and all lie in
// the picture; a picture smaller than a tile is filled up by reflection, as training fills up its crops (crop.h). A
// pixel's probabilities are the mean over the tiles that hold it, weighted by its distance to each tile's edges (the
// product of a tent along either axis): where one tile sees little around a pixel, the other sees more. Probabilities
// and not logits are averaged, so that a tile that is wrong at its edge, and sure of it, has one voice among the
// others. A quarter is nearly all that overlapping gains: on isbi2012's validation images, by tiles of 128 of a network
// trained on crops of 256, Dice is 0.9466 without, 0.9496 with a quarter and 0.9498 with a half, in twice the time.
#pragma once

#include <functional>
#include <vector>

#include "apps/options.h"
#include "apps/run/predictor.h"

namespace unet {

/// Where tiles begin along an axis of `length` >= `tile` pixels: the first at 0, the last where it ends at `length`.
std::vector<int> tile_positions(int length, int tile);

/// The weight of each of a tile's pixels along an axis: 1 at its edges, rising by 1 a pixel to the middle.
std::vector<float> tile_weights(int tile);

/// Finished rows of a picture from the top: probabilities p [count,width,classes] of the rows from y on, valid during
/// the call.
using RowsVisitor = std::function<void(int y, int count, const float* p)>;

/// Calls `visit` for all rows of the photo [H,W,3] in turn. `of` names it in messages. False if `stopped`, asked
/// before every tile, said so.
bool predict_tiles(Predictor& predictor, const Image& photo, const ImageExtent& tile, const std::string& of,
                   const RowsVisitor& visit, const std::function<bool()>& stopped = {});

}  // namespace unet

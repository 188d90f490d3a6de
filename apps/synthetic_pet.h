// Synthetic photographs of animals, drawn from a seed: a textured body of ellipses and triangles on textured ground,
// with shadow, light, and grass in front. For demo and tests; not real photographs, and not like any data set.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/io/image.h"

namespace unet {

struct SyntheticPet {
  Image photo;   // [H,W,3]
  Image trimap;  // [H,W,1]: 1 animal, 2 ground, 3 the ring along the outline
  bool cat = false;
};

/// The index-th picture of the seed, sides of 160 to 288 pixels. Equal arguments give equal pixels on one machine.
SyntheticPet draw_synthetic_pet(std::uint64_t seed, std::uint64_t index);

}  // namespace unet

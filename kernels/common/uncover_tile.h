#pragma once

#include <cstddef>

#include "mask_edge.h"
#include "texel.h"
#include "variant.h"

// `uncover`: a mask is kept where a smaller map of the same square says that the face is seen.
namespace crossface::CF_VARIANT {

// Threads of a block, and pixels of a tile.
constexpr int kUncoverColumns = 32, kUncoverRows = 8;

// The two samples of a line of `count` that pixel `at` of one of `size` lies between, and how far from the
// first; beyond the outer samples' centres these stay.
struct Between {
    int first, second;
    float share;
};

CF_HOST_DEVICE inline Between samples_around(int at, int size, int count) {
    const float scale = static_cast<float>(count) / static_cast<float>(size);
    const float place =
        clamp((static_cast<float>(at) + 0.5f) * scale - 0.5f, 0.0f, static_cast<float>(count - 1));
    const int first = static_cast<int>(place);
    return {first, first + 1 < count ? first + 1 : first, place - static_cast<float>(first)};
}

CF_HOST_DEVICE inline float mixed(float first, float second, float share) {
    return first + share * (second - first);
}

// A mask's weight times what is seen of the face; as with soft edges, next to nothing is nothing.
CF_HOST_DEVICE inline float uncovered_weight(float weight, float seen) {
    const float left = weight * clamp(seen, 0.0f, 1.0f);
    return left < kLeastWeight ? 0.0f : left;
}

// Pixel (x, y) of item `item` of `masks` [items, size, size], by the same item of `maps` [items, side, side].
template <typename Texel>
CF_HOST_DEVICE inline void uncover_pixel(int item, int x, int y, int side, const float* maps, int size,
                                         Texel* masks) {
    if (x >= size || y >= size) return;
    const std::ptrdiff_t number = item;
    const Between row = samples_around(y, size, side), column = samples_around(x, size, side);
    const float* above = maps + (number * side + row.first) * side;
    const float* below = maps + (number * side + row.second) * side;
    const float left = mixed(above[column.first], below[column.first], row.share);
    const float right = mixed(above[column.second], below[column.second], row.share);
    Texel& texel = masks[(number * size + y) * size + x];
    write_texel(texel, uncovered_weight(read_texel(texel), mixed(left, right, column.share)));
}

}  // namespace crossface::CF_VARIANT

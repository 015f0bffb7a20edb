#pragma once

#include <cmath>

#include "affine.h"
#include "cubic.h"
#include "pixel.h"
#include "variant.h"

// Loops over taps are as long as the face is shrunk. Unrolled, they would only fill the instruction cache.
#ifdef __CUDACC__
#define CF_KEEP_ROLLED _Pragma("unroll 1")
#else
#define CF_KEEP_ROLLED
#endif

// Where the pixels of a tile lie on another grid. Many GPUs compute doubles 64 times slower than floats, so
// the tile's origin alone is located in double; within it floats are exact to 1e-7 of the tile.
namespace crossface::CF_VARIANT {

// A sample, and how far beyond its centre a position lies, in 0..1 samples.
struct Location {
    int column, row;
    float fraction_x, fraction_y;
};

// How a filter is stretched along one axis, and the samples with weight on each side of a position.
struct FilterAxis {
    float inverse_widening;
    int reach;
};

struct CatmullRom {
    CF_HOST_DEVICE static float weight(float distance) { return catmull_rom(distance); }
    CF_HOST_DEVICE static FilterAxis axis(float footprint) {
        const double widened = widening(footprint);
        // The slack is for floats; see filter_reach.
        return {static_cast<float>(1.0 / widened), filter_reach(widened * (1.0 - 2e-6))};
    }
};

// As wide as the output sample's footprint: all that a detector needs.
struct Tent {
    CF_HOST_DEVICE static float weight(float distance) {
        const float height = 1.0f - (distance < 0.0f ? -distance : distance);
        return height > 0.0f ? height : 0.0f;
    }
    CF_HOST_DEVICE static FilterAxis axis(float footprint) {
        const double widened = footprint > 1.0f ? footprint : 1.0f;
        return {static_cast<float>(1.0 / widened), static_cast<int>(std::ceil(widened * (1.0 - 2e-6)))};
    }
};

struct TileMap {
    Location origin;   // of the centre of the tile's first pixel
    float step[2][2];  // samples for a pixel along x and along y
    FilterAxis x, y;
};

struct WholeAndFraction {
    int whole;
    float fraction;
};

CF_HOST_DEVICE inline WholeAndFraction split(double position) {
    // Positions so far out see nothing but the edge, and must not overflow.
    const double bounded = clamp(position, -1e9, 1e9), whole = std::floor(bounded);
    return {static_cast<int>(whole), static_cast<float>(bounded - whole)};
}

CF_HOST_DEVICE inline WholeAndFraction split(float position) {
    const float bounded = clamp(position, -5e8f, 5e8f), whole = std::floor(bounded);
    return {static_cast<int>(whole), bounded - whole};
}

// For the tile whose first pixel is (x, y) of the grid that `to_samples` starts from.
template <typename Filter>
CF_HOST_DEVICE inline TileMap tile_map(const Affine& to_samples, int x, int y) {
    const Point centre = apply(to_samples, x + 0.5, y + 0.5);
    const WholeAndFraction across = split(centre.x - 0.5), down = split(centre.y - 0.5);
    TileMap map;
    map.origin = {across.whole, down.whole, across.fraction, down.fraction};
    for (int axis = 0; axis < 2; ++axis)
        for (int i = 0; i < 2; ++i) map.step[axis][i] = static_cast<float>(to_samples.m[axis][i]);
    const float (&step)[2][2] = map.step;
    map.x = Filter::axis(std::sqrt(step[0][0] * step[0][0] + step[0][1] * step[0][1]));
    map.y = Filter::axis(std::sqrt(step[1][0] * step[1][0] + step[1][1] * step[1][1]));
    return map;
}

// Of the pixel `dx`, `dy` away from the tile's first one.
CF_HOST_DEVICE inline Location locate(const TileMap& map, int dx, int dy) {
    const float x = static_cast<float>(dx), y = static_cast<float>(dy);
    const WholeAndFraction across = split(map.origin.fraction_x + map.step[0][0] * x + map.step[0][1] * y);
    const WholeAndFraction down = split(map.origin.fraction_y + map.step[1][0] * x + map.step[1][1] * y);
    return {map.origin.column + across.whole, map.origin.row + down.whole, across.fraction, down.fraction};
}

}  // namespace crossface::CF_VARIANT

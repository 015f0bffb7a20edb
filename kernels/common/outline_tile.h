#pragma once

#include <cstddef>

#include "jobs.h"
#include "texel.h"
#include "variant.h"

// `outline` on the device: masks are cut to convex polygons, a pixel a thread.
namespace crossface::CF_VARIANT {

// Threads of a block, and pixels of a tile.
constexpr int kOutlineColumns = 32, kOutlineRows = 8;

// How far a pixel's centre lies inside the polygon, plus a half, clamped to 0..1; as `fill` of mask_cpu.cpp,
// but for a polygon without edges.
CF_HOST_DEVICE inline float outline_weight(const Edge* edges, int count, int x, int y) {
    const float column = static_cast<float>(x) + 0.5f, row = static_cast<float>(y) + 0.5f;
    float least = count > 0 ? 1.0f : 0.0f;
    for (int i = 0; i < count; ++i) {
        const float inside = edges[i].nx * column + (edges[i].ny * row - edges[i].offset + 0.5f);
        least = inside < least ? inside : least;
    }
    return clamp(least, 0.0f, 1.0f);
}

// Pixel (x, y) of the job's item of `masks` [items, size, size].
template <typename Texel>
CF_HOST_DEVICE inline void outline_pixel(const Edge* edges, const OutlineJob& job, int x, int y, int size,
                                         Texel* masks) {
    if (x >= size || y >= size) return;
    const std::ptrdiff_t item = static_cast<std::ptrdiff_t>(size) * size * job.item;
    Texel& texel = masks[item + static_cast<std::ptrdiff_t>(y) * size + x];
    write_texel(texel, read_texel(texel) * outline_weight(edges + job.first, job.count, x, y));
}

}  // namespace crossface::CF_VARIANT

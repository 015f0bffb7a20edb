#pragma once

#include <cstddef>

#include "jobs.h"
#include "mask_edge.h"
#include "texel.h"
#include "variant.h"

// `soften` on the device: a launch that blurs down the columns, one that blurs along the rows, makes the edge
// and adds up each tile, and one that adds up the tiles, in a fixed order. Values are added in the order of
// mask_cpu.cpp.
namespace crossface::CF_VARIANT {

// Threads of a block, and pixels of a tile; together a power of two.
constexpr int kSoftenColumns = 32, kSoftenRows = 8, kSoftenThreads = kSoftenColumns * kSoftenRows;
constexpr int kAreaThreads = 32;  // of a block, which adds the tiles of one mask; a power of two

// Sample `at` of a line of `size` samples, blurred; all is 0 beyond its ends.
template <typename Value>
CF_HOST_DEVICE inline float blurred(const Value* line, std::ptrdiff_t step, int size, int at,
                                    const float* taps, int radius) {
    const int first = at < radius ? 0 : at - radius;
    const int last = size - at <= radius ? size - 1 : at + radius;
    float sum = 0.0f;
    for (int i = first; i <= last; ++i) sum += taps[i - at + radius] * read_texel(line[i * step]);
    return sum;
}

// Pixel (x, y) of a job: from its item of `masks` [items, size, size] to `lines` [jobs, size, size].
template <typename Texel>
CF_HOST_DEVICE inline void soften_down_pixel(const SoftenJob& job, int number, int x, int y,
                                             const float* taps, int radius, int size, const Texel* masks,
                                             float* lines) {
    if (x >= size || y >= size) return;
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(size) * size;
    const float sum = blurred(masks + pixels * job.item + x, size, size, y, taps, radius);
    lines[pixels * number + static_cast<std::ptrdiff_t>(y) * size + x] = sum;
}

// And from `lines` to the item of `out`; gives the weight before the share.
template <typename Texel>
CF_HOST_DEVICE inline float soften_across_pixel(const SoftenJob& job, int number, int x, int y,
                                                const float* taps, int radius, float border_px, int size,
                                                const float* lines, Texel* out) {
    if (x >= size || y >= size) return 0.0f;
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(size) * size;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(y) * size;
    const float sum = blurred(lines + pixels * number + row, 1, size, x, taps, radius);
    const float weight = soft_weight(sum, border_fade(y, size, border_px) * border_fade(x, size, border_px));
    write_texel(out[pixels * job.item + row + x], weight * job.share);
    return weight;
}

// What thread `thread` adds up of a mask's tiles.
CF_HOST_DEVICE inline double sum_tiles(const double* tiles, int count, int thread) {
    double sum = 0.0;
    for (int tile = thread; tile < count; tile += kAreaThreads) sum += tiles[tile];
    return sum;
}

// One level of a tree: for distances of half the threads, a quarter, ... 1.
CF_HOST_DEVICE inline void fold_areas(double* sums, int thread, int distance) {
    if (thread < distance) sums[thread] += sums[thread + distance];
}

}  // namespace crossface::CF_VARIANT

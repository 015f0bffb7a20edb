#pragma once

#include <cstddef>

#include "jobs.h"
#include "sharpen.h"
#include "skin.h"
#include "variant.h"

// Kernels over faces as networks draw them, on the device: a thread a pixel, which share nothing. They do
// what stats_cpu.cpp and sharpen_cpu.cpp do.
namespace crossface::CF_VARIANT {

constexpr int kTextureColumns = 32, kTextureRows = 8, kTextureThreads = kTextureColumns * kTextureRows;

// Of pixel `pixel` of item `item` of `masks` [items, size, size] what is skin in `drawn` and `source` [items,
// 3, size, size], by their statistics [items]; 0 between every `row_step`th row.
CF_HOST_DEVICE inline void skin_pixel(const float* drawn, const float* source, const float* masks,
                                      const Statistics* of_drawn, const Statistics* of_source, double spread,
                                      int size, int row_step, int item, int pixel, float* out) {
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    if (pixel >= plane) return;
    const std::ptrdiff_t mask = plane * item + pixel;
    const float *a = drawn + 3 * plane * item + pixel, *b = source + 3 * plane * item + pixel;
    float share = 0.0f;
    if (pixel / size % row_step == 0) {
        const SkinColour mine = skin_colour(of_drawn[item], spread),
                         its = skin_colour(of_source[item], spread);
        share = masks[mask] * skin_share(mine, a[0], a[plane], a[2 * plane]) *
                skin_share(its, b[0], b[plane], b[2 * plane]);
    }
    out[mask] = share;
}

// A face's luma [size, size], continued by its outermost pixels.
struct TextureLuma {
    const float* rgb;
    int size;

    CF_HOST_DEVICE float at(int x, int y) const {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
        const float* pixel =
            rgb + static_cast<std::ptrdiff_t>(clamp(y, 0, size - 1)) * size + clamp(x, 0, size - 1);
        return luma_of(pixel[0], pixel[plane], pixel[2 * plane]);
    }

    CF_HOST_DEVICE float detail(const SharpenJob& job, int x, int y) const {
        float blurred = 0.0f;
        for (int i = -job.radius; i <= job.radius; ++i) {
            float column = 0.0f;
            for (int j = -job.radius; j <= job.radius; ++j)
                column += job.taps[j < 0 ? -j : j] * at(x + i, y + j);
            blurred += job.taps[i < 0 ? -i : i] * column;
        }
        return at(x, y) - blurred;
    }
};

// Details of drawn and source faces to the first two of the channels of `out` [items, 3, size, size], 0 to
// the third.
CF_HOST_DEVICE inline void detail_pixel(const SharpenJob& job, const float* drawn, const float* source,
                                        int size, int x, int y, float* out) {
    if (x >= size || y >= size) return;
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size, first = 3 * plane * job.item;
    float* pixel = out + first + static_cast<std::ptrdiff_t>(y) * size + x;
    pixel[0] = TextureLuma{drawn + first, size}.detail(job, x, y);
    pixel[plane] = TextureLuma{source + first, size}.detail(job, x, y);
    pixel[2 * plane] = 0.0f;
}

CF_HOST_DEVICE inline void sharpen_pixel(const SharpenJob& job, const float* faces, int size, int x, int y,
                                         float* out) {
    if (x >= size || y >= size) return;
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size, first = 3 * plane * job.item;
    const TextureLuma luma{faces + first, size};
    float low = luma.at(x, y), high = low;
    for (int j = -1; j <= 1; ++j)
        for (int i = -1; i <= 1; ++i) {
            const float neighbour = luma.at(x + i, y + j);
            low = neighbour < low ? neighbour : low;
            high = neighbour > high ? neighbour : high;
        }
    const float change = sharpening(luma.at(x, y), luma.detail(job, x, y), job.amount, low, high);
    const std::ptrdiff_t at = first + static_cast<std::ptrdiff_t>(y) * size + x;
    for (int channel = 0; channel < 3; ++channel)
        out[at + channel * plane] = faces[at + channel * plane] + change;
}

}  // namespace crossface::CF_VARIANT

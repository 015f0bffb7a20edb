#pragma once

#include <cstddef>
#include <cstdint>

#include "frame.h"
#include "pixel.h"
#include "plane_sample.h"
#include "variant.h"

// `thumbnails` on the device: the luma plane in small, from a few samples a cell, a cell a thread.
namespace crossface::CF_VARIANT {

constexpr int kThumbnailRows = 18, kThumbnailColumns = 32,
              kThumbnailCells = kThumbnailRows * kThumbnailColumns;
constexpr int kThumbnailSamples = 4;  // of a cell along either axis

// Where sample `number` of `count`, spread evenly over a row or column, lies.
CF_HOST_DEVICE inline int spread_sample(int number, int count, int length) {
    return static_cast<int>((number + 0.5) * (static_cast<double>(length) / count));
}

template <typename Sample>
CF_HOST_DEVICE inline float cell_sum(const Plane& plane, int column, int row) {
    constexpr int kColumns = kThumbnailColumns * kThumbnailSamples,
                  kRows = kThumbnailRows * kThumbnailSamples;
    float sum = 0.0f;
    for (int i = 0; i < kThumbnailSamples; ++i) {
        const int x = spread_sample(column * kThumbnailSamples + i, kColumns, plane.width);
        float down = 0.0f;
        for (int j = 0; j < kThumbnailSamples; ++j) {
            const int y = spread_sample(row * kThumbnailSamples + j, kRows, plane.height);
            down += read_code_as<Sample>(plane, 0, x, y);
        }
        sum += down;
    }
    return sum;
}

// 0 is black and 1 the greatest sample. What is no number stays so.
CF_HOST_DEVICE inline float thumbnail_cell(const Frame& frame, int column, int row) {
    const int bits = frame.colour.bits;
    const Plane& luma = frame.planes[0];
    const float sum = bits == kFloatBits ? cell_sum<float>(luma, column, row)
                      : bits == 8        ? cell_sum<std::uint8_t>(luma, column, row)
                                         : cell_sum<std::uint16_t>(luma, column, row);
    const int white = bits == kFloatBits ? 1 : ((1 << bits) - 1) << frame.colour.padding_bits;
    const float mean = sum / static_cast<float>(kThumbnailSamples * kThumbnailSamples * white);
    return mean == mean ? clamp(mean, 0.0f, 1.0f) : mean;
}

}  // namespace crossface::CF_VARIANT

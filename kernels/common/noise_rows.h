#pragma once

#include <cmath>

#include "affine.h"
#include "noise.h"
#include "pixel.h"
#include "texel.h"
#include "variant.h"

namespace crossface::CF_VARIANT {

constexpr int kNoiseGroup = 8;  // neighbouring samples of a row that are skin, or not, together

// The luma rows of a face that are asked for their noise, in groups of kNoiseGroup samples.
struct NoiseRows {
    Affine luma_to_crop;
    int x0, y0;
    int groups;       // of a row
    int count, step;  // rows, and from one to the next
};

CF_HOST_DEVICE inline NoiseRows noise_rows(const Plane& luma, const Affine& crop_to_luma, int size) {
    // Two samples to each side have neighbours all around.
    constexpr int kMargin = kNoiseSteps;
    double low[2] = {1e9, 1e9}, high[2] = {-1e9, -1e9};
    for (int corner = 0; corner < 4; ++corner) {
        const Point p = apply(crop_to_luma, corner % 2 * size, corner / 2 * size);
        const double at[2] = {p.x, p.y};
        for (int axis = 0; axis < 2; ++axis) {
            low[axis] = at[axis] < low[axis] ? at[axis] : low[axis];
            high[axis] = at[axis] > high[axis] ? at[axis] : high[axis];
        }
    }
    const int limit[2] = {luma.width - kMargin, luma.height - kMargin};
    int begin[2], length[2];
    for (int axis = 0; axis < 2; ++axis) {
        begin[axis] = static_cast<int>(clamp(std::floor(low[axis]), kMargin, 1e6));
        const int end = static_cast<int>(clamp(std::ceil(high[axis]), 0.0, limit[axis]));
        length[axis] = end > begin[axis] ? end - begin[axis] : 0;
    }
    const int step = (length[1] + kNoiseRows - 1) / kNoiseRows;
    return {invert(crop_to_luma),
            begin[0],
            begin[1],
            length[0] / kNoiseGroup,
            step > 0 ? length[1] / step : 0,
            step};
}

// The codes around a sample of luma (of green in RGB), `step` apart.
template <typename Sample>
CF_HOST_DEVICE inline int noise_bin_at(const Plane& luma, const Colour& colour, int x, int y, int step) {
    float around[3][3];
    for (int j = 0; j < 3; ++j) {
        const Sample* samples =
            reinterpret_cast<const Sample*>(luma.base + luma.pitch_bytes * (y + (j - 1) * step));
        for (int i = 0; i < 3; ++i)
            around[j][i] =
                SampleCode<Sample>::read(samples[(x + (i - 1) * step) * luma.step], colour.padding_bits);
    }
    const float codes_to_8_bits =
        colour.bits == kFloatBits ? 255.0f : 1.0f / static_cast<float>(1 << (colour.bits - 8));
    return noise_bin(around, codes_to_8_bits);
}

// Calls visit(step, bin) for the samples of one group of a row; none where the mask `skin` [size, size] of
// the face says that the group's centre is no skin.
template <typename Sample, typename Texel, typename Visit>
CF_HOST_DEVICE inline void for_each_answer(const Frame& frame, const NoiseRows& rows, int size,
                                           const Texel* skin, int number, int group, Visit visit) {
    const int y = rows.y0 + number * rows.step, x = rows.x0 + group * kNoiseGroup;
    const Point at = apply(rows.luma_to_crop, x + 0.5 * kNoiseGroup, y + 0.5);
    if (!(at.x >= 0.0 && at.y >= 0.0 && at.x < size && at.y < size)) return;
    const std::ptrdiff_t pixel = static_cast<std::ptrdiff_t>(at.y) * size + static_cast<std::ptrdiff_t>(at.x);
    if (!(read_texel(skin[pixel]) >= kLeastSkin)) return;
    for (int i = 0; i < kNoiseGroup; ++i)
        for (int step = 1; step <= kNoiseSteps; ++step)
            visit(step - 1, noise_bin_at<Sample>(frame.planes[0], frame.colour, x + i, y, step));
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cmath>
#include <cstddef>
#include <initializer_list>

#include "buffer.h"
#include "common/affine.h"
#include "common/cubic.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "filter.h"
#include "lanes.h"
#include "parts.h"
#include "positions.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

// Farther out than this every tap sees the same edge sample.
inline Extent sight(const Plane& plane, int reach_x, int reach_y) {
    return {-reach_x - 1.0, -reach_y - 1.0, plane.width + reach_x + 1.0, plane.height + reach_y + 1.0};
}

// The samples that rows `rows` of a crop of `size` columns need, if `columns` of them are loaded at once.
// An affine takes its extremes at the corners. Rows end with a whole block.
inline Box patch_bounds(const Affine& crop_to_plane, const Extent& limits, int size, Span rows, int reach_x,
                        int reach_y, int columns) {
    constexpr int kBlock = Positions::kSamples;
    const double right = (size + kBlock - 1) / kBlock * kBlock - 0.5;
    Extent hull{HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (const double x : {0.5, right})
        for (const double y : {rows.begin + 0.5, rows.end - 0.5}) {
            const Point p = apply(crop_to_plane, x, y);
            const double at_x = clamp(p.x, limits.x0, limits.x1), at_y = clamp(p.y, limits.y0, limits.y1);
            hull = {at_x < hull.x0 ? at_x : hull.x0, at_y < hull.y0 ? at_y : hull.y0,
                    at_x > hull.x1 ? at_x : hull.x1, at_y > hull.y1 ? at_y : hull.y1};
        }
    // One sample of slack: the corner and the loop may round a position to different sides of a sample.
    return {locate(hull.x0, reach_x).first - 1, locate(hull.y0, reach_y).first - 1,
            locate(hull.x1, reach_x).first + columns + 1, locate(hull.y1, reach_y).first + 2 * reach_y + 1};
}

// The part of one plane, or of two planes of one geometry, that some rows of a crop need: as floats, two
// planes interleaved, with the edges replicated. So the filter below knows neither edges nor sample types
// nor packed formats, and Cb and Cr share positions, weights and loads.
template <int kPlanes>
class Patch {
  public:
    // For rows `rows` of a crop of `size` columns.
    Patch(const Plane* planes, const Colour& colour, const Affine& crop_to_plane, int size, Span rows)
        : grid_(crop_to_plane, kPlanes, phase_bits(colour.bits)),
          limits_(sight(*planes, grid_.x().reach(), grid_.y().reach())),
          steps_(crop_to_plane, limits_),
          bounds_(patch_bounds(crop_to_plane, limits_, size, rows, grid_.x().reach(), grid_.y().reach(),
                               (8 * grid_.x().vectors() + kPlanes - 1) / kPlanes)),
          pitch_(kPlanes * (bounds_.x1 - bounds_.x0)),
          samples_(static_cast<std::size_t>(pitch_) * static_cast<std::size_t>(bounds_.y1 - bounds_.y0)) {
        with_sample_type(colour.bits, [&](auto sample) {
            with_step(planes->step,
                      [&](auto step) { load<decltype(sample)>(planes, colour.padding_bits, step); });
        });
    }

    // Filtered code values at the centres of columns `columns` of row `y` of the crop, a plane to each of
    // `out`, up to a multiple of TapBlock::kSamples.
    void sample_row(int y, Span columns, float* const (&out)[kPlanes]) const {
        Positions positions;
        TapBlock block;
        for (int x = columns.begin; x < columns.end; x += TapBlock::kSamples) {
            steps_.locate(x, TapBlock::kSamples, y, positions);
            grid_.prepare(positions, bounds_, pitch_, block);
            float* at[kPlanes];
            for (int plane = 0; plane < kPlanes; ++plane) at[plane] = out[plane] + (x - columns.begin);
            if (!grid_.tabulated())
                sum_block([&](int i) { return filter_narrow(block, i); }, at);
            else if (grid_.x().vectors() == 1)
                filter_wide<1>(block, at);
            else if (grid_.x().vectors() == 2)
                filter_wide<2>(block, at);
            else
                sum_block([&](int i) { return filter_any<0, 0>(block, i); }, at);
        }
    }

  private:
    template <typename Sample, typename Columns>
    void load(const Plane* planes, int padding_bits, Columns step) {
        const int width = planes->width;
        const int inside_begin = clamp(0, bounds_.x0, bounds_.x1),
                  inside_end = clamp(width, inside_begin, bounds_.x1);
        float* target = samples_.data();
        for (int y = bounds_.y0; y < bounds_.y1; ++y, target += pitch_) {
            const Sample* source[kPlanes];
            for (int plane = 0; plane < kPlanes; ++plane)
                source[plane] = row<Sample>(planes[plane], clamp(y, 0, planes->height - 1));
            const auto copy = [&](int column, std::ptrdiff_t from) {
                for (int plane = 0; plane < kPlanes; ++plane)
                    target[kPlanes * (column - bounds_.x0) + plane] =
                        SampleCode<Sample>::read_finite(source[plane][from], padding_bits);
            };
            for (int x = bounds_.x0; x < inside_begin; ++x) copy(x, 0);
            for (int x = inside_begin; x < inside_end; ++x) copy(x, x * step);
            for (int x = inside_end; x < bounds_.x1; ++x) copy(x, (width - 1) * step);
        }
    }

    // Adds up the lanes of filter(0), filter(1), ...: a block of pixels.
    template <typename Filter>
    static void sum_block(Filter filter, float* const (&out)[kPlanes]) {
        for (int i = 0; i < TapBlock::kSamples; i += 4) {
            Float4 sums[4];
            for (int k = 0; k < 4; ++k) sums[k] = fold(filter(i + k));
            if constexpr (kPlanes == 1) {
                store4(out[0] + i, sum_lanes(sums[0], sums[1], sums[2], sums[3]));
            } else {
                const Float4 front = sum_pairs(sums[0], sums[1]), back = sum_pairs(sums[2], sums[3]);
                store4(out[0] + i, __builtin_shufflevector(front, back, 0, 2, 4, 6));
                store4(out[1] + i, __builtin_shufflevector(front, back, 1, 3, 5, 7));
            }
        }
    }

    const float* corner(const TapBlock& block, int i) const { return samples_.data() + block.offset[i]; }

    // Four taps along both axes.
    Float8 filter_narrow(const TapBlock& block, int i) const {
        const float* line = corner(block, i);
        const std::ptrdiff_t pitch = pitch_;
        Float8 total = splat8(block.weight_y[0][i]) * load8(line);
        for (int j = 1; j < 4; ++j) total += splat8(block.weight_y[j][i]) * load8(line + j * pitch);
        const Float4 across = load4(block.weights_x[i]);
        // The upper half of a single plane's load lies beyond the taps.
        return total * (kPlanes == 1 ? __builtin_shufflevector(across, splat4(0.0f), 0, 1, 2, 3, 4, 5, 6, 7)
                                     : __builtin_shufflevector(across, across, 0, 0, 1, 1, 2, 2, 3, 3));
    }

    // Constant counts unroll; these serve faces of up to 2 times the crop's size.
    template <int kVectors>
    void filter_wide(const TapBlock& block, float* const (&out)[kPlanes]) const {
        switch (grid_.y().taps()) {
            case 4:
                return sum_block([&](int i) { return filter_any<kVectors, 4>(block, i); }, out);
            case 6:
                return sum_block([&](int i) { return filter_any<kVectors, 6>(block, i); }, out);
            case 8:
                return sum_block([&](int i) { return filter_any<kVectors, 8>(block, i); }, out);
            default:
                return sum_block([&](int i) { return filter_any<0, 0>(block, i); }, out);
        }
    }

    // kVectors of Float8 across and kRows down, or 0 to ask the filters.
    template <int kVectors, int kRows>
    Float8 filter_any(const TapBlock& block, int i) const {
        const int vectors = kVectors ? kVectors : grid_.x().vectors();
        const int rows = kRows ? kRows : grid_.y().taps();
        float many[kRows ? 1 : kMostTaps];
        if constexpr (kRows == 0) grid_.weights_y(block, i, many);
        const float* weights_y = kRows ? block.weights_y[i] : many;
        const std::ptrdiff_t pitch = pitch_;
        Float8 total = splat8(0.0f);
        for (int v = 0; v < vectors; ++v) {
            const float* line = corner(block, i) + 8 * v;
            Float8 column = splat8(weights_y[0]) * load8(line);
            for (int j = 1; j < rows; ++j) column += splat8(weights_y[j]) * load8(line + j * pitch);
            total += column * grid_.x().weights(block.phase_x[i], block.rest_x[i], v);
        }
        return total;
    }

    TapGrid grid_;
    Extent limits_;
    Steps steps_;
    Box bounds_;
    int pitch_;
    Buffer<float> samples_;
};

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cmath>
#include <cstddef>

#include "buffer.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "face_mask.h"
#include "filter.h"
#include "lanes.h"
#include "parts.h"
#include "positions.h"

namespace crossface::CF_VARIANT {

// The part of a face that some rows of the frame show, laid out for sampling: colour interleaved, four
// floats a texel, so that one load brings two texels, and continued beyond its edges by its outermost
// samples.
class FaceTexture {
  public:
    // `face` [3, size, size]; positions beyond `extent` (in face coordinates) are moved to its border.
    FaceTexture(const float* face, int size, const Affine& luma_to_face, const Extent& extent)
        : grid_(luma_to_face, 4, phase_bits(kFloatBits)),
          extent_(within_sight(extent, size)),
          steps_(luma_to_face, extent_),
          // One texel of slack, for positions that round up to the next.
          bounds_{locate(extent_.x0, grid_.x().reach()).first, locate(extent_.y0, grid_.y().reach()).first,
                  locate(extent_.x1, grid_.x().reach()).first + grid_.x().taps() + 1,
                  locate(extent_.y1, grid_.y().reach()).first + grid_.y().taps() + 1},
          pitch_(4 * (bounds_.x1 - bounds_.x0)),
          texels_(static_cast<std::size_t>(pitch_) * static_cast<std::size_t>(bounds_.y1 - bounds_.y0)) {
        interleave(face, size);
    }

    // Filtered R'G'B' at luma row `y`, columns `columns`, a row of floats for each, up to a multiple of
    // kSamples.
    // They are kept within the range of the texels of positive weight: Catmull-Rom overshoots at edges,
    // and on a face that shows as a bright or dark halo.
    void sample_row(int y, Span columns, float* const (&out)[3]) const {
        Positions positions;
        TapBlock block;
        for (int x = columns.begin; x < columns.end; x += kSamples) {
            const int count = smaller(kSamples, columns.end - x);
            steps_.locate(x, count, y, positions);
            grid_.prepare(positions, bounds_, pitch_, block);
            for (int i = count; i < kSamples; ++i) block.offset[i] = block.offset[count - 1];
            const std::ptrdiff_t at = x - columns.begin;
            float* const targets[3] = {out[0] + at, out[1] + at, out[2] + at};
            if (grid_.tabulated())
                separate(count, targets, [&](int i) { return sample_widened(block, i); });
            else
                separate(count, targets, [&](int i) { return sample(block, i); });
        }
    }

    static constexpr int kSamples = TapBlock::kSamples;

  private:
    // Farther out than this every tap sees the same edge texel.
    Extent within_sight(const Extent& extent, int size) const {
        const double x = grid_.x().reach() + 1.0, y = grid_.y().reach() + 1.0;
        return {clamp(extent.x0, -x, size + x), clamp(extent.y0, -y, size + y),
                clamp(extent.x1, -x, size + x), clamp(extent.y1, -y, size + y)};
    }

    void interleave(const float* face, int size) {
        const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
        const int inside_begin = clamp(0, bounds_.x0, bounds_.x1),
                  inside_end = clamp(size, inside_begin, bounds_.x1);
        float* texels = texels_.data();
        for (int y = bounds_.y0; y < bounds_.y1; ++y, texels += pitch_) {
            const float* line = face + static_cast<std::ptrdiff_t>(clamp(y, 0, size - 1)) * size;
            const auto copy = [&](int x, int from) {
                float* texel = texels + 4 * (x - bounds_.x0);
                texel[0] = line[from];
                texel[1] = line[from + plane];
                texel[2] = line[from + 2 * plane];
                texel[3] = 0.0f;
            };
            for (int column = bounds_.x0; column < inside_begin; ++column) copy(column, 0);
            // Four texels at once, by hand: compilers make single floats of it.
            int x = inside_begin;
            for (; x + 4 <= inside_end; x += 4) interleave4(line + x, plane, texels + 4 * (x - bounds_.x0));
            for (; x < inside_end; ++x) copy(x, x);
            for (int column = inside_end; column < bounds_.x1; ++column) copy(column, size - 1);
        }
    }

    static void interleave4(const float* line, std::ptrdiff_t plane, float* texels) {
        Float4 v[4] = {load4(line), load4(line + plane), load4(line + 2 * plane), splat4(0.0f)};
        transpose(v);
        for (int i = 0; i < 4; ++i) store4(texels + 4 * i, v[i]);
    }

    // Samples 0, 1, ..., colour by colour, up to a multiple of four.
    template <typename Sampler>
    static void separate(int count, float* const (&out)[3], Sampler sampled) {
        for (int i = 0; i < count; i += 4) {
            Float4 v[4];
            for (int k = 0; k < 4; ++k) v[k] = sampled(i + k);
            transpose(v);
            for (int colour = 0; colour < 3; ++colour) store4(out[colour] + i, v[colour]);
        }
    }

    const float* corner(const TapBlock& block, int i) const { return texels_.data() + block.offset[i]; }

    // Four taps, of which the inner two weigh more than nothing on each axis.
    Float4 sample(const TapBlock& block, int i) const {
        const float* line = corner(block, i);
        const std::ptrdiff_t pitch = pitch_;
        Float8 left = splat8(block.weight_y[0][i]) * load8(line);
        Float8 right = splat8(block.weight_y[0][i]) * load8(line + 8);
        for (int j = 1; j < 4; ++j) {
            left += splat8(block.weight_y[j][i]) * load8(line + j * pitch);
            right += splat8(block.weight_y[j][i]) * load8(line + j * pitch + 8);
        }
        const Float4 across = load4(block.weights_x[i]);
        const Float4 total = fold(left * __builtin_shufflevector(across, across, 0, 0, 0, 0, 1, 1, 1, 1) +
                                  right * __builtin_shufflevector(across, across, 2, 2, 2, 2, 3, 3, 3, 3));
        const Float8 upper = load8(line + pitch + 4), lower = load8(line + 2 * pitch + 4);
        const Float8 low = least(upper, lower), high = greatest(upper, lower);
        return least(greatest(total, least(low_half(low), high_half(low))),
                     greatest(low_half(high), high_half(high)));
    }

    Float4 sample_widened(const TapBlock& block, int i) const {
        float weights_y[kMostTaps];
        grid_.weights_y(block, i, weights_y);
        Float8 total = splat8(0.0f), low = splat8(HUGE_VALF), high = splat8(-HUGE_VALF);
        for (int v = 0; v < grid_.x().vectors(); ++v) {
            const float* line = corner(block, i) + 8 * v;
            const Float8 across = grid_.x().weights(block.phase_x[i], block.rest_x[i], v);
            Float8 column = splat8(0.0f);
            for (int j = 0; j < grid_.y().taps(); ++j, line += pitch_) {
                const Float8 texels = load8(line);
                column += splat8(weights_y[j]) * texels;
                if (!(weights_y[j] > 0.0f)) continue;
                low = across > 0.0f ? least(low, texels) : low;
                high = across > 0.0f ? greatest(high, texels) : high;
            }
            total += column * across;
        }
        return least(greatest(fold(total), least(low_half(low), high_half(low))),
                     greatest(low_half(high), high_half(high)));
    }

    TapGrid grid_;
    Extent extent_;
    Steps steps_;
    Box bounds_;
    int pitch_;
    Buffer<float> texels_;
};

}  // namespace crossface::CF_VARIANT

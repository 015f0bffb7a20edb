#pragma once

#include <cmath>
#include <cstddef>

#include "buffer.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "filter.h"
#include "float4.h"

namespace crossface::CF_VARIANT {

// Face coordinates outside of which the weight is zero (the borders themselves included).
struct Extent {
    double x0, y0, x1, y1;
};

// A face and its mask, laid out for sampling at any position: colour interleaved, so that one load brings
// a whole tap, and both padded, so that no tap needs a bounds check.
class FaceTexture {
  public:
    // `face` [3, size, size], `mask` [size, size]; the footprints are face samples a frame sample spans.
    FaceTexture(const float* face, const float* mask, int size, double footprint_x, double footprint_y)
        : filter_x_(footprint_x),
          filter_y_(footprint_y),
          size_(size),
          texel_pitch_(size + 2 * filter_x_.reach()),
          mask_pitch_(size + 2),
          texels_(4 * static_cast<std::size_t>(texel_pitch_) *
                  static_cast<std::size_t>(size + 2 * filter_y_.reach())),
          mask_(static_cast<std::size_t>(mask_pitch_) * static_cast<std::size_t>(mask_pitch_)),
          outline_(2 * static_cast<std::size_t>(size)) {
        interleave(face);
        pad(mask);
        trace_outline();
    }

    const Extent& extent() const { return extent_; }

    // Bilinear, and zero outside the mask's image: the outermost samples fade out over half a sample.
    float weight(const Point& p) const {
        const double x = std::floor(p.x - 0.5), y = std::floor(p.y - 0.5);
        const float fx = static_cast<float>(p.x - 0.5 - x), fy = static_cast<float>(p.y - 0.5 - y);
        const float* top = mask_.data() + (static_cast<std::ptrdiff_t>(y) + 1) * mask_pitch_ +
                           (static_cast<std::ptrdiff_t>(x) + 1);
        const float* bottom = top + mask_pitch_;
        return (1.0f - fy) * ((1.0f - fx) * top[0] + fx * top[1]) +
               fy * ((1.0f - fx) * bottom[0] + fx * bottom[1]);
    }

    // Filtered R'G'B', kept within the range of the samples that it was made of: Catmull-Rom overshoots
    // at edges, and on a face that shows as a bright or dark halo.
    Rgb sample(const Point& p) const {
        const TapPosition at_x = filter_x_.locate(p.x), at_y = filter_y_.locate(p.y);
        float weights_x[kMaxPaddedTaps], weights_y[kMaxPaddedTaps];
        filter_x_.weights(at_x.phase, weights_x);
        filter_y_.weights(at_y.phase, weights_y);
        const float* line =
            texels_.data() + 4 * (static_cast<std::ptrdiff_t>(at_y.first + filter_y_.reach()) * texel_pitch_ +
                                  (at_x.first + filter_x_.reach()));
        Float4 total = splat(0.0f), low = load4(line), high = low;
        for (int j = 0; j < filter_y_.taps(); ++j, line += 4 * texel_pitch_) {
            Float4 across = splat(0.0f);
            for (int i = 0; i < filter_x_.taps(); ++i) {
                const Float4 texel = load4(line + 4 * i);
                across += splat(weights_x[i]) * texel;
                low = min4(low, texel);
                high = max4(high, texel);
            }
            total += splat(weights_y[j]) * across;
        }
        total = min4(max4(total, low), high);
        return {total[0], total[1], total[2]};
    }

    // Points whose hull holds every position of weight > 0. A row's own ends, not the bounding rectangle's
    // corners: turned by 45 degrees, those would make the box of an oval face 1.4 times too large.
    template <typename Visit>
    void for_each_outline_point(Visit visit) const {
        for (int y = 0; y < size_; ++y) {
            const int begin = outline_[2 * static_cast<std::size_t>(y)];
            const int end = outline_[2 * static_cast<std::size_t>(y) + 1];
            if (begin == end) continue;
            for (const double x : {begin - 0.5, end + 0.5})
                for (const double row : {y - 0.5, y + 1.5}) visit(x, row);
        }
    }

  private:
    void interleave(const float* face) {
        const int reach_x = filter_x_.reach(), reach_y = filter_y_.reach();
        const std::size_t plane = static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_);
        float* texel = texels_.data();
        for (int y = -reach_y; y < size_ + reach_y; ++y) {
            const float* line = face + static_cast<std::ptrdiff_t>(clamp(y, 0, size_ - 1)) * size_;
            for (int x = -reach_x; x < size_ + reach_x; ++x, texel += 4) {
                const std::size_t column = static_cast<std::size_t>(clamp(x, 0, size_ - 1));
                store4(texel, Float4{line[column], line[column + plane], line[column + 2 * plane], 0.0f});
            }
        }
    }

    void pad(const float* mask) {
        mask_.fill(0.0f);
        for (int y = 0; y < size_; ++y)
            for (int x = 0; x < size_; ++x)
                mask_[static_cast<std::size_t>((y + 1) * mask_pitch_ + x + 1)] =
                    clamp(mask[static_cast<std::ptrdiff_t>(y) * size_ + x], 0.0f, 1.0f);
    }

    // First and past-the-last column of weight > 0 in each row, and from them the extent.
    void trace_outline() {
        extent_ = {size_ + 0.5, size_ + 0.5, -0.5, -0.5};
        for (int y = 0; y < size_; ++y) {
            const float* line = mask_.data() + static_cast<std::ptrdiff_t>(y + 1) * mask_pitch_ + 1;
            int begin = 0, end = size_;
            while (begin < size_ && !(line[begin] > 0.0f)) ++begin;
            while (end > begin && !(line[end - 1] > 0.0f)) --end;
            outline_[2 * static_cast<std::size_t>(y)] = begin;
            outline_[2 * static_cast<std::size_t>(y) + 1] = end;
            if (begin == end) continue;
            if (begin - 0.5 < extent_.x0) extent_.x0 = begin - 0.5;
            if (end + 0.5 > extent_.x1) extent_.x1 = end + 0.5;
            if (y - 0.5 < extent_.y0) extent_.y0 = y - 0.5;
            extent_.y1 = y + 1.5;
        }
    }

    FilterBank filter_x_, filter_y_;
    int size_;
    int texel_pitch_, mask_pitch_;
    Buffer<float> texels_, mask_;
    Buffer<int> outline_;
    Extent extent_{};
};

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cmath>
#include <cstddef>

#include "buffer.h"
#include "common/affine.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "parts.h"
#include "positions.h"

namespace crossface::CF_VARIANT {

// Narrows `span` to where low < slope (x + 0.5) + offset < high, give or take a column.
inline Span narrow(Span span, double slope, double offset, double low, double high) {
    if (std::fabs(slope) < 1e-12) return offset > low && offset < high ? span : Span{span.begin, span.begin};
    double from = (low - offset) / slope - 0.5, to = (high - offset) / slope - 0.5;
    if (slope < 0.0) {
        const double swapped = from;
        from = to;
        to = swapped;
    }
    const double first = clamp(std::floor(from), span.begin, span.end);
    const double last = clamp(std::ceil(to) + 1.0, first, span.end);
    return {static_cast<int>(first), static_cast<int>(last)};
}

// A mask, padded with zeros so that no look-up needs a bounds check.
class FaceMask {
  public:
    FaceMask(const float* mask, int size, const Affine& luma_to_face)
        : size_(size),
          luma_to_face_(luma_to_face),
          // Farther out there is nothing but padding.
          steps_(luma_to_face, {-0.5, -0.5, size + 0.5, size + 0.5}),
          pitch_(size + 3),
          samples_(static_cast<std::size_t>(pitch_) * static_cast<std::size_t>(pitch_)),
          outline_(static_cast<std::size_t>(size)) {
        samples_.fill(0.0f);
        for (int y = 0; y < size; ++y)
            for (int x = 0; x < size; ++x)
                line(y)[x] = clamp(mask[static_cast<std::ptrdiff_t>(y) * size + x], 0.0f, 1.0f);
        trace_outline();
    }

    // Face coordinates outside of which the weight is zero (the borders themselves included).
    const Extent& extent() const { return extent_; }

    // The weights of luma row `y` at columns `columns`, and the bounds of those above zero (empty if none).
    // Bilinear, and zero outside the mask's image: the outermost samples fade out over half a sample.
    Span weigh(int y, Span columns, float* weights) const {
        const Point start = apply(luma_to_face_, 0.0, y + 0.5);
        Span span = narrow(columns, luma_to_face_.m[0][0], start.x, extent_.x0, extent_.x1);
        span = narrow(span, luma_to_face_.m[1][0], start.y, extent_.y0, extent_.y1);
        for (int x = columns.begin; x < span.begin; ++x) weights[x - columns.begin] = 0.0f;
        for (int x = span.end; x < columns.end; ++x) weights[x - columns.begin] = 0.0f;
        for (int x = span.begin; x < span.end; x += kBlock)
            weigh_block(x, y, smaller(kBlock, span.end - x), weights + (x - columns.begin));
        while (span.begin < span.end && !(weights[span.begin - columns.begin] > 0.0f)) ++span.begin;
        while (span.begin < span.end && !(weights[span.end - 1 - columns.begin] > 0.0f)) --span.end;
        return span;
    }

    // Points whose hull holds every position of weight > 0. A row's own ends, not the bounding rectangle's
    // corners: turned by 45 degrees, those would make the box of an oval face 1.4 times too large.
    template <typename Visit>
    void for_each_outline_point(Visit visit) const {
        for (int y = 0; y < size_; ++y) {
            const Span span = outline_[static_cast<std::size_t>(y)];
            if (span.begin == span.end) continue;
            for (const double x : {span.begin - 0.5, span.end + 0.5})
                for (const double row : {y - 0.5, y + 1.5}) visit(x, row);
        }
    }

  private:
    static constexpr int kBlock = Positions::kSamples;

    float* line(int y) { return samples_.data() + static_cast<std::ptrdiff_t>(y + 1) * pitch_ + 1; }

    void weigh_block(int first, int y, int count, float* weights) const {
        Positions at;
        steps_.locate(first, count, y, at);
        int offset[kBlock];
        float part_x[kBlock], part_y[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            offset[i] = i < count ? (at.row[i] + 1) * pitch_ + at.column[i] + 1 : 0;
            part_x[i] = static_cast<float>(at.part_x[i]) * (1.0f / Positions::kOne);
            part_y[i] = static_cast<float>(at.part_y[i]) * (1.0f / Positions::kOne);
        }
        // Two neighbours at once, by hand: compilers make nothing good of gathers.
        float above[2 * kBlock], below[2 * kBlock];
        for (int i = 0; i < kBlock; ++i) {
            const float* corner = samples_.data() + offset[i];
            __builtin_memcpy(above + 2 * i, corner, 2 * sizeof(float));
            __builtin_memcpy(below + 2 * i, corner + pitch_, 2 * sizeof(float));
        }
        float mixed[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            const float upper = (1.0f - part_x[i]) * above[2 * i] + part_x[i] * above[2 * i + 1];
            const float lower = (1.0f - part_x[i]) * below[2 * i] + part_x[i] * below[2 * i + 1];
            mixed[i] = (1.0f - part_y[i]) * upper + part_y[i] * lower;
        }
        for (int i = 0; i < count; ++i) weights[i] = mixed[i];
    }

    // First and past-the-last column of weight > 0 in each row, and from them the extent.
    void trace_outline() {
        extent_ = {size_ + 0.5, size_ + 0.5, -0.5, -0.5};
        for (int y = 0; y < size_; ++y) {
            const float* samples = line(y);
            Span span{0, size_};
            while (span.begin < size_ && !(samples[span.begin] > 0.0f)) ++span.begin;
            while (span.end > span.begin && !(samples[span.end - 1] > 0.0f)) --span.end;
            outline_[static_cast<std::size_t>(y)] = span;
            if (span.begin == span.end) continue;
            if (span.begin - 0.5 < extent_.x0) extent_.x0 = span.begin - 0.5;
            if (span.end + 0.5 > extent_.x1) extent_.x1 = span.end + 0.5;
            if (y - 0.5 < extent_.y0) extent_.y0 = y - 0.5;
            extent_.y1 = y + 1.5;
        }
    }

    int size_;
    Affine luma_to_face_;
    Steps steps_;
    int pitch_;
    Buffer<float> samples_;
    Buffer<Span> outline_;
    Extent extent_{};
};

}  // namespace crossface::CF_VARIANT

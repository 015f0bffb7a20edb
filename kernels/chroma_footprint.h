#pragma once

#include <cstddef>
#include <cstdlib>

#include "buffer.h"
#include "common/frame.h"
#include "common/pixel.h"
#include "common/variant.h"

namespace crossface::CF_VARIANT {

// The luma samples that one chroma sample stands for along one axis, and how much each counts: all alike
// where chroma lies between them, a tent about its own position where it is co-sited with one of them.
class Footprint {
  public:
    Footprint(int shift, bool cosited, int luma_length)
        : ratio_(1 << shift), cosited_(cosited), luma_length_(luma_length) {}

    int first(int chroma) const { return chroma * ratio_ - (cosited_ ? ratio_ - 1 : 0); }
    int end(int chroma) const { return (chroma + 1) * ratio_; }

    // Of luma sample `luma` in first..end-1. What lies outside the frame counts nothing.
    float weight(int chroma, int luma) const {
        return luma < 0 || luma >= luma_length_ ? 0.0f
                                                : static_cast<float>(raw(chroma, luma)) / total(chroma);
    }

    // The chroma samples, half open, whose footprint may hold a luma sample of begin..end-1.
    int chroma_begin(int luma_begin) const { return luma_begin / ratio_; }
    int chroma_end(int luma_end) const { return (luma_end - 1) / ratio_ + (cosited_ && ratio_ > 1 ? 2 : 1); }

  private:
    int raw(int chroma, int luma) const { return cosited_ ? ratio_ - std::abs(luma - chroma * ratio_) : 1; }

    float total(int chroma) const {
        int sum = 0;
        for (int luma = first(chroma); luma < end(chroma); ++luma)
            if (luma >= 0 && luma < luma_length_) sum += raw(chroma, luma);
        return static_cast<float>(sum);
    }

    int ratio_;
    bool cosited_;
    int luma_length_;
};

// Collects, row by row of luma, what the face gives to every chroma sample of a box: the mean weight of
// its footprint, and the weighted mean of the face's chroma there.
class ChromaSums {
  public:
    // `luma_box`: the luma samples that may have weight.
    ChromaSums(const Frame& frame, const Box& luma_box)
        : across_(frame.colour.chroma_shift_x, frame.colour.siting != Siting::kCentre, frame.planes[0].width),
          down_(frame.colour.chroma_shift_y, frame.colour.siting == Siting::kTopLeft, frame.planes[0].height),
          box_{across_.chroma_begin(luma_box.x0), down_.chroma_begin(luma_box.y0),
               smaller(across_.chroma_end(luma_box.x1), frame.planes[1].width),
               smaller(down_.chroma_end(luma_box.y1), frame.planes[1].height)},
          columns_(static_cast<std::size_t>(box_.x1 - box_.x0)),
          plane_(columns_ * static_cast<std::size_t>(box_.y1 - box_.y0)),
          taps_(across_.end(0) - across_.first(0)),
          weights_across_(columns_ * static_cast<std::size_t>(taps_)),
          line_(columns_),
          sums_(3 * plane_) {
        for (int x = box_.x0; x < box_.x1; ++x)
            for (int tap = 0; tap < taps_; ++tap)
                weights_across_[static_cast<std::size_t>(tap) * columns_ +
                                static_cast<std::size_t>(x - box_.x0)] =
                    across_.weight(x, across_.first(x) + tap);
        sums_.fill(0.0f);
    }

    const Box& box() const { return box_; }

    // The luma columns that `add_row` reads; they may lie outside the frame.
    int first_column() const { return across_.first(box_.x0); }
    int end_column() const { return across_.end(box_.x1 - 1); }

    // Adds luma row `y`: weights and chroma codes of columns first_column()..end_column()-1.
    // The codes are left multiplied by the weights.
    void add_row(int y, const float* weight, float* cb, float* cr) {
        const std::size_t count = static_cast<std::size_t>(end_column() - first_column());
        for (std::size_t i = 0; i < count; ++i) {
            cb[i] *= weight[i];
            cr[i] *= weight[i];
        }
        const float* inputs[3] = {weight, cb, cr};
        for (int which = 0; which < 3; ++which) {
            reduce_across(inputs[which]);
            const int end = smaller(down_.chroma_end(y + 1), box_.y1);
            for (int chroma = down_.chroma_begin(y); chroma < end; ++chroma)
                add(down_.weight(chroma, y), sums_.data() + offset(which, box_.x0, chroma));
        }
    }

    float weight(int x, int y) const { return sums_[offset(0, x, y)]; }
    float face(int channel, int x, int y) const { return sums_[offset(1 + channel, x, y)]; }

  private:
    static int smaller(int a, int b) { return a < b ? a : b; }

    std::size_t offset(int which, int x, int y) const {
        return static_cast<std::size_t>(which) * plane_ + static_cast<std::size_t>(y - box_.y0) * columns_ +
               static_cast<std::size_t>(x - box_.x0);
    }

    void reduce_across(const float* luma_line) {
        const std::size_t stride = static_cast<std::size_t>(across_.end(0) - across_.end(-1));
        line_.fill(0.0f);
        for (int tap = 0; tap < taps_; ++tap) {
            const float* weights = weights_across_.data() + static_cast<std::size_t>(tap) * columns_;
            const float* in = luma_line + tap;
            if (stride == 1)
                for (std::size_t i = 0; i < columns_; ++i) line_[i] += weights[i] * in[i];
            else if (stride == 2)
                for (std::size_t i = 0; i < columns_; ++i) line_[i] += weights[i] * in[2 * i];
            else
                for (std::size_t i = 0; i < columns_; ++i) line_[i] += weights[i] * in[stride * i];
        }
    }

    void add(float weight, float* target) const {
        for (std::size_t i = 0; i < columns_; ++i) target[i] += weight * line_[i];
    }

    Footprint across_, down_;
    Box box_;
    std::size_t columns_, plane_;
    int taps_;
    Buffer<float> weights_across_, line_, sums_;
};

}  // namespace crossface::CF_VARIANT

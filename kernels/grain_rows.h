#pragma once

#include <cstddef>

#include "buffer.h"
#include "common/frame.h"
#include "common/grain.h"
#include "common/variant.h"
#include "parts.h"

namespace crossface::CF_VARIANT {

// The grain of rows of a frame, which are asked for one after the other; three rows of white noise, filtered
// along themselves, wait for their neighbours.
class GrainRows {
  public:
    // `columns`: all that any row may ask for.
    GrainRows(const Grain& grain, Span columns)
        : grain_(grain),
          begin_(columns.begin),
          width_(grain.sigma > 0.0f ? static_cast<std::size_t>(columns.end - columns.begin) : 0),
          white_(width_ + 2),
          rows_(3 * width_) {}

    // Adds the grain of row `y` to codes of the face, where column x has weights[x].
    void add(int y, Span columns, const float* weights, float* codes) {
        if (!(grain_.sigma > 0.0f)) return;
        for (int row = y - 1; row <= y + 1; ++row)
            if (held_[slot(row)] != row) make(row);
        const float* __restrict above = of_row(y - 1);
        const float* __restrict own = of_row(y);
        const float* __restrict below = of_row(y + 1);
        for (int x = columns.begin; x < columns.end; ++x) {
            const std::ptrdiff_t i = x - begin_;
            const float noise = grain_.centre * own[i] + grain_.side * (above[i] + below[i]);
            codes[x] += grain_.sigma * grain_gain(weights[x]) * noise;
        }
    }

  private:
    static std::size_t slot(int row) { return static_cast<std::size_t>((row % 3 + 3) % 3); }

    float* of_row(int row) { return rows_.data() + slot(row) * width_; }

    void make(int row) {
        held_[slot(row)] = row;
        float* __restrict white = white_.data();
        for (std::size_t i = 0; i < width_ + 2; ++i)
            white[i] = white_noise(grain_.seed, begin_ - 1 + static_cast<int>(i), row);
        float* __restrict out = of_row(row);
        for (std::size_t i = 0; i < width_; ++i)
            out[i] = grain_.centre * white[i + 1] + grain_.side * (white[i] + white[i + 2]);
    }

    const Grain grain_;
    int begin_;
    std::size_t width_;
    int held_[3] = {-10, -10, -10};
    Buffer<float> white_, rows_;
};

}  // namespace crossface::CF_VARIANT

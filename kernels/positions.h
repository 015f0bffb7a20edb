#pragma once

#include <cmath>

#include "common/affine.h"
#include "common/pixel.h"
#include "common/variant.h"

namespace crossface::CF_VARIANT {

// A part of a plane of continuous coordinates.
struct Extent {
    double x0, y0, x1, y1;
};

// Where neighbouring output samples lie on the input grid: the input sample whose centre is at or before
// each, and how far beyond it they are, in units of 1 / kOne of a sample.
struct Positions {
    static constexpr int kSamples = 64, kBits = 22, kOne = 1 << kBits;

    int column[kSamples], row[kSamples];
    int part_x[kSamples], part_y[kSamples];
};

// Steps from the first of some neighbours to the others, in fixed point: that is several times as fast as
// an affine map of doubles for each, and no less exact than the fp32 of the weights.
class Steps {
  public:
    // Positions beyond `limits` (in input coordinates) move to its border.
    Steps(const Affine& output_to_input, const Extent& limits)
        : map_(output_to_input),
          x_(map_.m[0][0], limits.x0, limits.x1),
          y_(map_.m[1][0], limits.y0, limits.y1) {}

    // Of output samples first, first + 1, ... of row `y`. Those past `count` may lie beyond the limits.
    void locate(int first, int count, int y, Positions& at) const {
        const Point start = apply(map_, first + 0.5, y + 0.5);
        x_.locate(start.x, count, at.column, at.part_x);
        y_.locate(start.y, count, at.row, at.part_y);
    }

  private:
    static constexpr int kSamples = Positions::kSamples;

    // One coordinate. Fixed point of 64 bits holds all that can occur, and 32 suffice for the way from the
    // first sample to the last unless samples lie 8 apart or more.
    class Axis {
      public:
        Axis(double step, double low, double high)
            : low_(fixed(low - 0.5)), high_(fixed(high - 0.5)), near_(std::fabs(step) < 8.0) {
            for (int i = 0; i < kSamples; ++i) {
                far_offsets_[i] = fixed(step * i);
                offsets_[i] = near_ ? static_cast<int>(far_offsets_[i]) : 0;
            }
        }

        void locate(double start, int count, int* __restrict wholes, int* __restrict parts) const {
            const long long first = fixed(start - 0.5), last = first + far_offsets_[count - 1];
            if (near_ && inside(first) && inside(last)) {
                const int whole = static_cast<int>(first >> Positions::kBits);
                const int part = static_cast<int>(first & (Positions::kOne - 1));
                for (int i = 0; i < kSamples; ++i) {
                    const int position = part + offsets_[i];
                    wholes[i] = whole + (position >> Positions::kBits);
                    parts[i] = position & (Positions::kOne - 1);
                }
            } else {
                for (int i = 0; i < kSamples; ++i) {
                    const long long position = clamp(first + far_offsets_[i], low_, high_);
                    wholes[i] = static_cast<int>(position >> Positions::kBits);
                    parts[i] = static_cast<int>(position & (Positions::kOne - 1));
                }
            }
        }

      private:
        bool inside(long long position) const { return position >= low_ && position <= high_; }

        static long long fixed(double value) {
            return static_cast<long long>(std::floor(clamp(value, -1e11, 1e11) * Positions::kOne + 0.5));
        }

        long long low_, high_;
        bool near_;  // all offsets fit
        int offsets_[kSamples];
        long long far_offsets_[kSamples];
    };

    Affine map_;
    Axis x_, y_;
};

}  // namespace crossface::CF_VARIANT

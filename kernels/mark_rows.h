#pragma once

#include <cstring>

#include "common/frame.h"
#include "common/mark.h"
#include "common/variant.h"
#include "parts.h"
#include "positions.h"

namespace crossface::CF_VARIANT {

// The mark of rows of a frame: `mark_at` of many samples at once.
class MarkRows {
  public:
    MarkRows(const Mark& mark, int bits)
        : chips_(mark.chips), unit_(mark_unit(bits)), steps_(mark.luma_to_mark, kFarOut) {}

    // Adds it to the codes of luma row `y`.
    void add(int y, Span columns, float* codes) const {
        if (!chips_) return;
        for (int x = columns.begin; x < columns.end; x += kBlock)
            add_block(x, y, smaller(kBlock, columns.end - x), codes + x);
    }

  private:
    static constexpr int kBlock = Positions::kSamples;
    // Faces lie within their mark, so that positions seldom have to be moved.
    static constexpr Extent kFarOut{-1e6, -1e6, 1e6, 1e6};

    void add_block(int first, int y, int count, float* codes) const {
        Positions at;
        steps_.locate(first, count, y, at);
        int offset[kBlock];
        float part_x[kBlock], part_y[kBlock], unit[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            // Unsigned, what lies before the first centre is far beyond the last.
            constexpr unsigned kEnd = kMarkSide - 1;
            const bool inside =
                (static_cast<unsigned>(at.column[i]) < kEnd) & (static_cast<unsigned>(at.row[i]) < kEnd);
            offset[i] = inside ? at.row[i] * kMarkSide + at.column[i] : 0;
            unit[i] = inside ? unit_ : 0.0f;
            part_x[i] = static_cast<float>(at.part_x[i]) * (1.0f / Positions::kOne);
            part_y[i] = static_cast<float>(at.part_y[i]) * (1.0f / Positions::kOne);
        }
        // Two neighbours at once, by hand: compilers make nothing good of gathers.
        float above[2 * kBlock], below[2 * kBlock];
        for (int i = 0; i < kBlock; ++i) {
            const float* corner = chips_ + offset[i];
            std::memcpy(above + 2 * i, corner, 2 * sizeof(float));
            std::memcpy(below + 2 * i, corner + kMarkSide, 2 * sizeof(float));
        }
        float added[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            const float upper = (1.0f - part_x[i]) * above[2 * i] + part_x[i] * above[2 * i + 1];
            const float lower = (1.0f - part_x[i]) * below[2 * i] + part_x[i] * below[2 * i + 1];
            added[i] = unit[i] * ((1.0f - part_y[i]) * upper + part_y[i] * lower);
        }
        for (int i = 0; i < count; ++i) codes[i] += added[i];
    }

    const float* chips_;
    float unit_;
    Steps steps_;
};

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstddef>

#include "buffer.h"
#include "common/affine.h"
#include "common/cubic.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "lanes.h"

namespace crossface::CF_VARIANT {

// Catmull-Rom weights at its own width as cubics of the fraction: ((a t + b) t + c) t + d for each tap.
constexpr float kCubic[4][4] = {{-0.5f, 1.5f, -1.5f, 0.5f},
                                {1.0f, -2.5f, 2.0f, -0.5f},
                                {-0.5f, 0.0f, 0.5f, 0.0f},
                                {0.0f, 1.0f, 0.0f, 0.0f}};

inline float cubic_weight(int tap, float t) {
    return ((kCubic[0][tap] * t + kCubic[1][tap]) * t + kCubic[2][tap]) * t + kCubic[3][tap];
}

inline Float4 cubic_weights(float t) {
    const Float4 at = splat4(t);
    return ((load4(kCubic[0]) * at + load4(kCubic[1])) * at + load4(kCubic[2])) * at + load4(kCubic[3]);
}

// A part of a plane of continuous coordinates.
struct Extent {
    double x0, y0, x1, y1;
};

// The filter of one axis, as a table of weights by phase, which is linear between phases: 512 keep 16-bit
// samples within one code. Where neither axis is widened cubic_weights is faster, and no table is made.
class CubicFilter {
  public:
    // `footprint`: input samples that one output sample spans. `copies`: how often the table repeats each
    // weight, for samples that lie interleaved.
    CubicFilter(double footprint, int copies, bool tabulated)
        : widening_(widening(footprint)),
          reach_(filter_reach(widening_)),
          vectors_((taps() * copies + 7) / 8),
          table_(tabulated ? (kPhases + 1) * row_floats() : 0) {
        if (tabulated) tabulate(copies);
    }

    int reach() const { return reach_; }
    int taps() const { return 2 * reach_; }
    int vectors() const { return vectors_; }  // of Float8 that hold all taps; the rest weighs zero

    // The row of the table at or before a fraction, and how far it is on the way to the next row.
    static int phase(float fraction) {
        return static_cast<int>(clamp(fraction * kPhases, 0.0f, kPhases - 1.0f));
    }
    static float part(float fraction, int phase) { return fraction * kPhases - static_cast<float>(phase); }

    Float8 weights(int phase, float part, int vector) const {
        const float* row = table_.data() + static_cast<std::size_t>(phase) * row_floats() + 8 * vector;
        const Float8 here = load8(row), next = load8(row + row_floats());
        return here + splat8(part) * (next - here);
    }

  private:
    static constexpr int kPhases = 512;

    std::size_t row_floats() const { return 8 * static_cast<std::size_t>(vectors_); }

    void tabulate(int copies) {
        Buffer<double> row(static_cast<std::size_t>(taps()));
        for (int phase = 0; phase <= kPhases; ++phase) {
            const double fraction = static_cast<double>(phase) / kPhases;
            double sum = 0.0;
            for (int tap = 0; tap < taps(); ++tap) {
                const double weight = catmull_rom((tap - reach_ + 1 - fraction) / widening_);
                row[static_cast<std::size_t>(tap)] = weight;
                sum += weight;
            }
            float* out = table_.data() + static_cast<std::size_t>(phase) * row_floats();
            for (int i = 0; i < 8 * vectors_; ++i)
                out[i] = i < taps() * copies
                             ? static_cast<float>(row[static_cast<std::size_t>(i / copies)] / sum)
                             : 0.0f;
        }
    }

    double widening_;
    int reach_;
    int vectors_;
    Buffer<float> table_;
};

constexpr int kMostTaps = 4 * static_cast<int>(kMaxWidening);

// Where the taps of some neighbouring output samples begin, and their weights or the phases of those.
struct TapBlock {
    static constexpr int kSamples = 32;

    int column[kSamples], row[kSamples];
    float fraction_x[kSamples], fraction_y[kSamples];
    float weight_y[4][kSamples];               // unless tabulated
    int phase_x[kSamples], phase_y[kSamples];  // if tabulated
    float part_x[kSamples], part_y[kSamples];
    float weights_y[kSamples][8];  // if tabulated and no more than 8 taps
};

// The filters of both axes from an output grid to an input grid.
class TapGrid {
  public:
    // `spread`: floats from an input sample to its right neighbour.
    TapGrid(const Affine& output_to_input, int spread)
        : map_(output_to_input),
          spread_(spread),
          tabulated_(widens(stretch(map_, 0)) || widens(stretch(map_, 1))),
          x_(stretch(map_, 0), spread, tabulated_),
          y_(stretch(map_, 1), 1, tabulated_) {}

    const CubicFilter& x() const { return x_; }
    const CubicFilter& y() const { return y_; }
    bool tabulated() const { return tabulated_; }
    Point position(double x, double y) const { return apply(map_, x, y); }

    // Of output samples first, first + 1, ... (but none past `last`) of row `y`. Positions beyond `limits`
    // move to its border. Columns count floats and rows count lines, from input sample `origin`.
    void locate_block(int first, int last, int y, const Extent& limits, const Box& origin,
                      TapBlock& block) const {
        for (int i = 0; i < TapBlock::kSamples; ++i) {
            const int x = first + i < last ? first + i : last;
            const Point p = apply(map_, x + 0.5, y + 0.5);
            const TapPosition at_x = locate(clamp(p.x, limits.x0, limits.x1), x_.reach());
            const TapPosition at_y = locate(clamp(p.y, limits.y0, limits.y1), y_.reach());
            block.column[i] = spread_ * (at_x.first - origin.x0);
            block.row[i] = at_y.first - origin.y0;
            block.fraction_x[i] = static_cast<float>(at_x.fraction);
            block.fraction_y[i] = static_cast<float>(at_y.fraction);
        }
        if (tabulated_) {
            tabulate(block.fraction_x, block.phase_x, block.part_x);
            tabulate(block.fraction_y, block.phase_y, block.part_y);
            // Through memory, whence each is loaded into all lanes at once.
            if (y_.vectors() == 1)
                for (int i = 0; i < TapBlock::kSamples; ++i) weights_y(block, i, block.weights_y[i]);
        } else {
            for (int tap = 0; tap < 4; ++tap)
                for (int i = 0; i < TapBlock::kSamples; ++i)
                    block.weight_y[tap][i] = cubic_weight(tap, block.fraction_y[i]);
        }
    }

    // All weights down the column of sample i.
    void weights_y(const TapBlock& block, int i, float* out) const {
        for (int v = 0; v < y_.vectors(); ++v)
            store8(out + 8 * v, y_.weights(block.phase_y[i], block.part_y[i], v));
    }

  private:
    // Whether a filter of this footprint has more taps than the four of its own width.
    static bool widens(double footprint) { return filter_reach(widening(footprint)) > 2; }

    static void tabulate(const float* fractions, int* phases, float* parts) {
        for (int i = 0; i < TapBlock::kSamples; ++i) {
            phases[i] = CubicFilter::phase(fractions[i]);
            parts[i] = CubicFilter::part(fractions[i], phases[i]);
        }
    }

    Affine map_;
    int spread_;
    bool tabulated_;
    CubicFilter x_, y_;
};

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstddef>

#include "buffer.h"
#include "common/affine.h"
#include "common/cubic.h"
#include "common/variant.h"
#include "lanes.h"
#include "positions.h"

namespace crossface::CF_VARIANT {

// Catmull-Rom weights at its own width as cubics of the fraction: ((a t + b) t + c) t + d for each tap.
constexpr float kCubic[4][4] = {{-0.5f, 1.5f, -1.5f, 0.5f},
                                {1.0f, -2.5f, 2.0f, -0.5f},
                                {-0.5f, 0.0f, 0.5f, 0.0f},
                                {0.0f, 1.0f, 0.0f, 0.0f}};

inline float cubic_weight(int tap, float t) {
    return ((kCubic[0][tap] * t + kCubic[1][tap]) * t + kCubic[2][tap]) * t + kCubic[3][tap];
}

// The weights of all taps at a fraction, which sum to one.
inline void filter_weights(double widened, int reach, double fraction, double* out) {
    double sum = 0.0;
    for (int tap = 0; tap < 2 * reach; ++tap) {
        out[tap] = catmull_rom((tap - reach + 1 - fraction) / widened);
        sum += out[tap];
    }
    for (int tap = 0; tap < 2 * reach; ++tap) out[tap] /= sum;
}

// The filter of one axis, as a table of weights by phase, which is linear between phases. Where neither axis
// is widened cubic_weight is faster, and no table is made.
class CubicFilter {
  public:
    // `footprint`: input samples that one output sample spans. `copies`: how often the table repeats each
    // weight, for samples that lie interleaved. `phase_bits`: of a position, that choose a row
    // of the table.
    CubicFilter(double footprint, int copies, bool tabulated, int phase_bits)
        : widening_(widening(footprint)),
          reach_(filter_reach(widening_)),
          vectors_((taps() * copies + 7) / 8),
          shift_(Positions::kBits - phase_bits),
          table_(tabulated ? ((std::size_t{1} << phase_bits) + 1) * row_floats() : 0) {
        if (tabulated) tabulate(copies, 1 << phase_bits);
    }

    int reach() const { return reach_; }
    int taps() const { return 2 * reach_; }
    int vectors() const { return vectors_; }  // of Float8 that hold all taps; the rest weighs zero

    // The row of the table at or before a position, and how far it is on the way to the next row.
    int phase(int part) const { return part >> shift_; }
    float rest(int part) const {
        return static_cast<float>(part & ((1 << shift_) - 1)) * (1.0f / static_cast<float>(1 << shift_));
    }

    Float8 weights(int phase, float part, int vector) const {
        const float* row = table_.data() + static_cast<std::size_t>(phase) * row_floats() + 8 * vector;
        const Float8 here = load8(row), next = load8(row + row_floats());
        return here + splat8(part) * (next - here);
    }

  private:
    std::size_t row_floats() const { return 8 * static_cast<std::size_t>(vectors_); }

    void tabulate(int copies, int phases) {
        Buffer<double> row(static_cast<std::size_t>(taps()));
        for (int phase = 0; phase <= phases; ++phase) {
            filter_weights(widening_, reach_, static_cast<double>(phase) / phases, row.data());
            float* out = table_.data() + static_cast<std::size_t>(phase) * row_floats();
            for (int i = 0; i < 8 * vectors_; ++i)
                out[i] = i < taps() * copies ? static_cast<float>(row[static_cast<std::size_t>(i / copies)])
                                             : 0.0f;
        }
    }

    double widening_;
    int reach_;
    int vectors_;
    int shift_;
    Buffer<float> table_;
};

// Phases that keep samples of so many bits within 0.2 codes: a table of few stays in the nearest cache.
constexpr int phase_bits(int bits) { return bits <= 12 ? 7 : 9; }

constexpr int kMostTaps = 4 * static_cast<int>(kMaxWidening);

// Where the taps of some neighbouring output samples begin, and their weights or the phases of those.
struct TapBlock {
    static constexpr int kSamples = Positions::kSamples;

    int offset[kSamples];
    float weights_x[kSamples][4];              // unless tabulated
    float weight_y[4][kSamples];               // unless tabulated
    int phase_x[kSamples], phase_y[kSamples];  // if tabulated
    float rest_x[kSamples], rest_y[kSamples];
    float weights_y[kSamples][8];  // if tabulated and no more than 8 taps
};

// The filters of both axes from an output grid to an input grid.
class TapGrid {
  public:
    // `spread`: floats from an input sample to its right neighbour.
    TapGrid(const Affine& output_to_input, int spread, int phase_bits)
        : spread_(spread),
          tabulated_(widens(stretch(output_to_input, 0)) || widens(stretch(output_to_input, 1))),
          x_(stretch(output_to_input, 0), spread, tabulated_, phase_bits),
          y_(stretch(output_to_input, 1), 1, tabulated_, phase_bits) {}

    const CubicFilter& x() const { return x_; }
    const CubicFilter& y() const { return y_; }
    bool tabulated() const { return tabulated_; }

    // Of output samples that lie at `at`, with lines of `pitch` floats that begin with input sample `origin`.
    void prepare(const Positions& at, const Box& origin, int pitch, TapBlock& block) const {
        constexpr int kSamples = TapBlock::kSamples;
        const int column = origin.x0 + x_.reach() - 1, row = origin.y0 + y_.reach() - 1;
        for (int i = 0; i < kSamples; ++i)
            block.offset[i] = (at.row[i] - row) * pitch + (at.column[i] - column) * spread_;
        if (tabulated_) {
            for (int i = 0; i < kSamples; ++i) {
                block.phase_x[i] = x_.phase(at.part_x[i]);
                block.rest_x[i] = x_.rest(at.part_x[i]);
                block.phase_y[i] = y_.phase(at.part_y[i]);
                block.rest_y[i] = y_.rest(at.part_y[i]);
            }
            // Through memory, whence each is loaded into all lanes at once.
            if (y_.vectors() == 1)
                for (int i = 0; i < kSamples; ++i) weights_y(block, i, block.weights_y[i]);
        } else {
            float weight_x[4][kSamples];
            cubic_weights(at.part_x, weight_x);
            cubic_weights(at.part_y, block.weight_y);
            for (int i = 0; i < kSamples; i += 4) {
                Float4 v[4];
                for (int tap = 0; tap < 4; ++tap) v[tap] = load4(weight_x[tap] + i);
                transpose(v);
                for (int k = 0; k < 4; ++k) store4(block.weights_x[i + k], v[k]);
            }
        }
    }

    // All weights down the column of sample i.
    void weights_y(const TapBlock& block, int i, float* out) const {
        for (int v = 0; v < y_.vectors(); ++v)
            store8(out + 8 * v, y_.weights(block.phase_y[i], block.rest_y[i], v));
    }

  private:
    // Whether a filter of this footprint has more taps than the four of its own width.
    static bool widens(double footprint) { return filter_reach(widening(footprint)) > 2; }

    static void cubic_weights(const int* parts, float (&out)[4][TapBlock::kSamples]) {
        for (int tap = 0; tap < 4; ++tap)
            for (int i = 0; i < TapBlock::kSamples; ++i)
                out[tap][i] = cubic_weight(tap, static_cast<float>(parts[i]) * (1.0f / Positions::kOne));
    }

    int spread_;
    bool tabulated_;
    CubicFilter x_, y_;
};

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "buffer.h"
#include "common/affine.h"
#include "common/cubic.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "filter.h"
#include "lanes.h"
#include "parts.h"
#include "patch.h"
#include "positions.h"
#include "samples.h"

namespace crossface::CF_VARIANT {

// The filter of one axis as 16-bit weights, of which 1 << kWeightBits is one, by phase and linear between
// phases.
class ShortFilter {
  public:
    static constexpr int kPhaseBits = 7, kRestBits = Positions::kBits - kPhaseBits, kWeightBits = 14;
    static constexpr int kMostTaps = 48, kMostVectors = kMostTaps / 8;

    // `planes`: for samples that lie in groups of so many. Of two planes, the weights of two neighbours come
    // twice before those of the next two.
    ShortFilter(double footprint, int planes)
        : widening_(widening(footprint)),
          reach_(filter_reach(widening_)),
          vectors_((taps() * planes + 7) / 8),
          table_(static_cast<std::size_t>((1 << kPhaseBits) * row_length())) {
        constexpr int kPhases = 1 << kPhaseBits;
        // Twice the most, for two planes.
        Short8 here[2 * kMostVectors], next[2 * kMostVectors];
        tabulate(0.0, planes, next);
        for (int phase = 0; phase < kPhases; ++phase) {
            std::memcpy(here, next, sizeof next);
            tabulate((phase + 1.0) / kPhases, planes, next);
            for (int v = 0; v < vectors_; ++v) {
                store_short8(table_.data() + phase * row_length() + 16 * v, here[v]);
                store_short8(table_.data() + phase * row_length() + 16 * v + 8, next[v] - here[v]);
            }
        }
    }

    static bool serves(double footprint) { return 2 * filter_reach(widening(footprint)) <= kMostTaps; }

    int reach() const { return reach_; }
    int taps() const { return 2 * reach_; }
    int vectors() const { return vectors_; }

    // Where the table's row for a position begins.
    int row(int part) const { return (part >> kRestBits) * row_length(); }
    // `rest`: in all lanes, how far it is to the next phase, of 1 << kRestBits.
    Short8 weights(int row_begin, Short8 rest, int vector) const {
        const std::int16_t* row = table_.data() + row_begin + 16 * vector;
        return load_short8(row) + multiply_fractions(load_short8(row + 8), rest);
    }

  private:
    int row_length() const { return 16 * vectors_; }

    void tabulate(double fraction, int planes, Short8* out) const {
        double weights[kMostTaps];
        filter_weights(widening_, reach_, fraction, weights);
        // Sums are rounded instead of weights, so that these add up to one, however many there are.
        std::int16_t rounded[kMostTaps];
        double sum = 0.0;
        int before = 0;
        for (int tap = 0; tap < taps(); ++tap) {
            sum += weights[tap] * (1 << kWeightBits);
            const int here = static_cast<int>(std::floor(sum + 0.5));
            rounded[tap] = static_cast<std::int16_t>(here - before);
            before = here;
        }
        for (int i = 0; i < 8 * vectors_; ++i) {
            const int tap = planes == 1 ? i : i / 4 * 2 + i % 2;
            out[i / 8][i % 8] = tap < taps() ? rounded[tap] : std::int16_t{0};
        }
    }

    double widening_;
    int reach_;
    int vectors_;
    Buffer<std::int16_t> table_;
};

// As Patch, for codes of eight bits and filters of few taps, in 16-bit integers, of which one instruction
// multiplies many and adds them in pairs. Two neighbours of a column therefore lie side by side: every line
// holds its row and the next.
template <int kPlanes>
class ShortPatch {
  public:
    // Rounded weights move codes of eight bits by an eighth, but those of ten by up to 0.6.
    static bool serves(const Colour& colour, const Affine& crop_to_plane) {
        return colour.bits == kFrameBits && colour.transfer == Transfer::kSdr &&
               ShortFilter::serves(stretch(crop_to_plane, 0)) &&
               ShortFilter::serves(stretch(crop_to_plane, 1));
    }

    ShortPatch(const Plane* planes, const Colour&, const Affine& crop_to_plane, int size, Span rows)
        : x_(stretch(crop_to_plane, 0), kPlanes),
          y_(stretch(crop_to_plane, 1), 1),
          limits_(sight(*planes, x_.reach(), y_.reach())),
          steps_(crop_to_plane, limits_),
          bounds_(patch_bounds(crop_to_plane, limits_, size, rows, x_.reach(), y_.reach(),
                               8 / kPlanes * x_.vectors())),
          pitch_(2 * kPlanes * (bounds_.x1 - bounds_.x0)),
          samples_(static_cast<std::size_t>(pitch_) * static_cast<std::size_t>(bounds_.y1 - bounds_.y0)) {
        with_step(planes->step, [&](auto step) { load(planes, step); });
    }

    // See Patch.
    void sample_row(int y, Span columns, float* const (&out)[kPlanes]) const {
        Block block;
        for (int x = columns.begin; x < columns.end; x += kSamples) {
            prepare(x, y, block);
            float* at[kPlanes];
            for (int plane = 0; plane < kPlanes; ++plane) at[plane] = out[plane] + (x - columns.begin);
            if (x_.vectors() == 1)
                filter<1>(block, at);
            else if (x_.vectors() == 2)
                filter<2>(block, at);
            else if (x_.vectors() == 3)
                filter<3>(block, at);
            else
                filter_block<0, 0>(block, at);
        }
    }

  private:
    static constexpr int kSamples = Positions::kSamples;
    static constexpr int kFrameBits = 8;
    static constexpr int kBits = 10;  // of the samples in a line, for the sake of rounding
    static constexpr float kUnit = 1.0f / (1 << (2 * ShortFilter::kWeightBits - kFrameBits));

    struct Block {
        int offset[kSamples];
        int row_x[kSamples], rest_x[kSamples];
        int row_y[kSamples], rest_y[kSamples];
    };

    template <typename Columns>
    void load(const Plane* planes, Columns step) {
        const int width = planes->width;
        const int inside_begin = clamp(0, bounds_.x0, bounds_.x1),
                  inside_end = clamp(width, inside_begin, bounds_.x1);
        std::int16_t* target = samples_.data();
        for (int y = bounds_.y0; y < bounds_.y1; ++y, target += pitch_) {
            const std::uint8_t* source[2 * kPlanes];
            for (int i = 0; i < 2 * kPlanes; ++i)
                source[i] = row<std::uint8_t>(planes[i / 2], clamp(y + i % 2, 0, planes->height - 1));
            const auto copy = [&](int column, std::ptrdiff_t from) {
                for (int i = 0; i < 2 * kPlanes; ++i)
                    target[2 * kPlanes * (column - bounds_.x0) + i] =
                        static_cast<std::int16_t>(source[i][from] << (kBits - kFrameBits));
            };
            for (int x = bounds_.x0; x < inside_begin; ++x) copy(x, 0);
            for (int x = inside_begin; x < inside_end; ++x) copy(x, x * step);
            for (int x = inside_end; x < bounds_.x1; ++x) copy(x, (width - 1) * step);
        }
    }

    void prepare(int x, int y, Block& block) const {
        Positions at;
        steps_.locate(x, kSamples, y, at);
        const int column = bounds_.x0 + x_.reach() - 1, row = bounds_.y0 + y_.reach() - 1;
        constexpr int kRest = (1 << ShortFilter::kRestBits) - 1;
        for (int i = 0; i < kSamples; ++i) {
            block.offset[i] = (at.row[i] - row) * pitch_ + (at.column[i] - column) * (2 * kPlanes);
            block.row_x[i] = x_.row(at.part_x[i]);
            block.rest_x[i] = (at.part_x[i] & kRest) * 0x10001;
            block.row_y[i] = y_.row(at.part_y[i]);
            block.rest_y[i] = (at.part_y[i] & kRest) * 0x10001;
        }
    }

    template <int kVectors>
    void filter(const Block& block, float* const (&out)[kPlanes]) const {
        switch (y_.reach()) {
            case 2:
                return filter_block<kVectors, 2>(block, out);
            case 3:
                return filter_block<kVectors, 3>(block, out);
            case 4:
                return filter_block<kVectors, 4>(block, out);
            default:
                return filter_block<kVectors, 0>(block, out);
        }
    }

    template <int kVectors, int kReach>
    void filter_block(const Block& block, float* const (&out)[kPlanes]) const {
        for (int i = 0; i < kSamples; i += 4) {
            Int4 sums[4];
            for (int k = 0; k < 4; ++k) sums[k] = filter_sample<kVectors, kReach>(block, i + k);
            if constexpr (kPlanes == 1) {
                store4(out[0] + i, kUnit * __builtin_convertvector(
                                               sum_lanes(sums[0], sums[1], sums[2], sums[3]), Float4));
            } else {
                const Int4 front = sum_pairs(sums[0], sums[1]), back = sum_pairs(sums[2], sums[3]);
                const Int4 cb = __builtin_shufflevector(front, back, 0, 2, 4, 6),
                           cr = __builtin_shufflevector(front, back, 1, 3, 5, 7);
                store4(out[0] + i, kUnit * __builtin_convertvector(cb, Float4));
                store4(out[1] + i, kUnit * __builtin_convertvector(cr, Float4));
            }
        }
    }

    // Sums that are left to add: of one plane all lanes, of two every other lane. Constant counts unroll; 0
    // is to ask the filters.
    template <int kVectors, int kReach>
    Int4 filter_sample(const Block& block, int i) const {
        const std::int16_t* line = samples_.data() + block.offset[i];
        const std::ptrdiff_t pitch = pitch_;
        const Short8 rest = splat_pair(&block.rest_x[i]);
        const Short8 rest_y = splat_pair(&block.rest_y[i]);
        const int reach = kReach ? kReach : y_.reach();
        std::int32_t pairs[4 * ShortFilter::kMostVectors];
        for (int v = 0; v < (kReach ? (kReach + 3) / 4 : y_.vectors()); ++v) {
            const Short8 weights = y_.weights(block.row_y[i], rest_y, v);
            std::memcpy(pairs + 4 * v, &weights, sizeof weights);
        }
        Int4 total{};
        const auto add = [&](const PairSums& sums, int v) {
            Short8 columns = sums.scaled<kBits>();
            if constexpr (kPlanes == 2)
                columns = __builtin_shufflevector(columns, columns, 0, 2, 1, 3, 4, 6, 5, 7);
            total += dot_pairs(columns, x_.weights(block.row_x[i], rest, v));
        };
        if constexpr (kVectors > 0) {
            // All of a line's at once, so that its weight is loaded once.
            PairSums sums[kVectors];
            for (int j = 0; j < reach; ++j)
                for (int v = 0; v < kVectors; ++v) sums[v].add(line + 2 * j * pitch + 16 * v, pairs[j]);
            for (int v = 0; v < kVectors; ++v) add(sums[v], v);
        } else {
            for (int v = 0; v < x_.vectors(); ++v) {
                PairSums sums;
                for (int j = 0; j < reach; ++j) sums.add(line + 2 * j * pitch + 16 * v, pairs[j]);
                add(sums, v);
            }
        }
        return total;
    }

    ShortFilter x_, y_;
    Extent limits_;
    Steps steps_;
    Box bounds_;
    int pitch_;
    Buffer<std::int16_t> samples_;
};

}  // namespace crossface::CF_VARIANT

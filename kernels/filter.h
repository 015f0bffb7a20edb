#pragma once

#include <cmath>
#include <cstddef>

#include "buffer.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "float4.h"

namespace crossface::CF_VARIANT {

// Catmull-Rom: cubic convolution with a = -1/2 (Keys 1981). It interpolates, and keeps more detail at
// scales near one than a tent, which matters because every face passes through two resamplings.
inline double catmull_rom(double distance) {
    const double d = std::fabs(distance);
    if (d < 1.0) return (1.5 * d - 2.5) * d * d + 1.0;
    if (d < 2.0) return ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    return 0.0;
}

// Bounds the cost of a face far larger than the crop; beyond it the filter is as wide as it gets.
constexpr double kMaxWidening = 64.0;

// A position on a sample grid, split for filtering: taps first .. first + taps - 1, at this phase.
struct TapPosition {
    int first;
    float phase;  // 0 .. FilterBank::kPhases
};

// Catmull-Rom weights tabulated by sub-sample phase, for one resampling ratio. Widening the curve to the
// footprint of an output sample removes what the coarser grid cannot hold, so shrinking does not alias.
class FilterBank {
  public:
    static constexpr int kPhases = 256;

    // `footprint`: input samples that one output sample spans; below one the curve keeps its width.
    explicit FilterBank(double footprint)
        : widening_(clamp(footprint, 1.0, kMaxWidening)),
          // The slack keeps a ratio that is whole but for rounding from gaining two taps of weight zero.
          reach_(static_cast<int>(std::ceil(2.0 * widening_ - 1e-6))),
          padded_taps_((2 * reach_ + 3) / 4 * 4),
          table_(static_cast<std::size_t>(kPhases + 1) * static_cast<std::size_t>(padded_taps_)) {
        for (int phase = 0; phase <= kPhases; ++phase) {
            float* row = table_.data() + phase * padded_taps_;
            double sum = 0.0;
            for (int tap = 0; tap < taps(); ++tap) sum += weight(tap, phase);
            for (int tap = 0; tap < padded_taps_; ++tap)
                row[tap] = tap < taps() ? static_cast<float>(weight(tap, phase) / sum) : 0.0f;
        }
    }

    int reach() const { return reach_; }              // samples on each side of a position
    int taps() const { return 2 * reach_; }           // samples with weight
    int padded_taps() const { return padded_taps_; }  // rounded up to Float4; the rest weighs zero

    TapPosition locate(double position) const {
        const double centred = position - 0.5;
        const double whole = std::floor(centred);
        return {static_cast<int>(whole) - reach_ + 1, static_cast<float>((centred - whole) * kPhases)};
    }

    // Writes padded_taps() weights.
    void weights(float phase, float* out) const {
        const int index = static_cast<int>(phase) < kPhases ? static_cast<int>(phase) : kPhases - 1;
        const Float4 blend = splat(phase - static_cast<float>(index));
        const float* row = table_.data() + index * padded_taps_;
        for (int tap = 0; tap < padded_taps_; tap += 4) {
            const Float4 here = load4(row + tap), next = load4(row + padded_taps_ + tap);
            store4(out + tap, here + blend * (next - here));
        }
    }

  private:
    double weight(int tap, int phase) const {
        return catmull_rom((tap - reach_ + 1 - static_cast<double>(phase) / kPhases) / widening_);
    }

    double widening_;
    int reach_;
    int padded_taps_;
    Buffer<float> table_;
};

constexpr int kMaxPaddedTaps = 4 * static_cast<int>(kMaxWidening);

}  // namespace crossface::CF_VARIANT

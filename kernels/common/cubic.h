#pragma once

#include <cmath>

#include "variant.h"

namespace crossface::CF_VARIANT {

// Catmull-Rom: cubic convolution with a = -1/2 (Keys 1981). It interpolates, and keeps more detail at
// scales near one than a tent, which matters because every face passes through two resamplings.
template <typename Real>
CF_HOST_DEVICE inline Real catmull_rom(Real distance) {
    const Real d = distance < 0 ? -distance : distance;
    if (d < Real(1)) return (Real(1.5) * d - Real(2.5)) * d * d + Real(1);
    if (d < Real(2)) return ((Real(-0.5) * d + Real(2.5)) * d - Real(4)) * d + Real(2);
    return Real(0);
}

// Bounds the cost of a face far larger than the crop; beyond it the filter is as wide as it gets.
constexpr double kMaxWidening = 64.0;

// How much the curve is stretched where one output sample spans `footprint` input samples: enough to
// remove what the coarser grid cannot hold, so that shrinking does not alias.
CF_HOST_DEVICE inline double widening(double footprint) {
    return footprint > 1.0 ? (footprint < kMaxWidening ? footprint : kMaxWidening) : 1.0;
}

// Samples with weight on each side of a position. The slack keeps a ratio that is whole but for rounding
// from gaining two of weight zero.
CF_HOST_DEVICE inline int filter_reach(double widened) {
    return static_cast<int>(std::ceil(2.0 * widened - 1e-6));
}

// The first of the 2 * reach samples around a position, and where it lies between its two middle ones.
struct TapPosition {
    int first;
    double fraction;  // 0..1: the weight of tap i is that of distance (i - reach + 1 - fraction) / widening
};

CF_HOST_DEVICE inline TapPosition locate(double position, int reach) {
    const double centred = position - 0.5, whole = std::floor(centred);
    return {static_cast<int>(whole) - reach + 1, centred - whole};
}

}  // namespace crossface::CF_VARIANT

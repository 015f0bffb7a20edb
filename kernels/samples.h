#pragma once

#include <cstdint>

#include "common/frame.h"
#include "common/pixel.h"
#include "common/variant.h"

namespace crossface::CF_VARIANT {

template <typename Sample>
Sample* row(const Plane& plane, int y) {
    return reinterpret_cast<Sample*>(plane.base + plane.pitch_bytes * y);
}

// Calls body(Sample{}) with the sample type of the depth.
template <typename Body>
auto with_sample_type(int bits, Body body) {
    if (bits == kFloatBits) return body(float{});
    return bits == 8 ? body(std::uint8_t{}) : body(std::uint16_t{});
}

// Calls body(step) with a constant for the usual distances between columns, which lets loops vectorise.
template <int kStep>
struct Step {
    constexpr operator std::ptrdiff_t() const { return kStep; }
};
template <typename Body>
void with_step(std::ptrdiff_t step, Body body) {
    if (step == 1) return body(Step<1>{});
    if (step == 2) return body(Step<2>{});
    if (step == 3) return body(Step<3>{});
    if (step == 4) return body(Step<4>{});
    body(step);
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstdint>

#include "common/frame.h"
#include "common/variant.h"

namespace crossface::CF_VARIANT {

template <typename Sample>
Sample* row(const Plane& plane, int y) {
    return reinterpret_cast<Sample*>(plane.base + plane.pitch_bytes * y);
}

// Calls body(Sample{}) with the sample type of the depth.
template <typename Body>
auto with_sample_type(int bits, Body body) {
    return bits == 8 ? body(std::uint8_t{}) : body(std::uint16_t{});
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstring>

#include "common/variant.h"

namespace crossface::CF_VARIANT {

// Four lanes on every CPU. A fixed lane count fixes the order of additions, so that all variants agree
// bit for bit; wider registers pay off in the row loops, which have no sums across pixels.
using Float4 = float __attribute__((vector_size(16)));

inline Float4 load4(const float* p) {
    Float4 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store4(float* p, Float4 v) { std::memcpy(p, &v, sizeof v); }

inline Float4 splat(float s) { return Float4{s, s, s, s}; }

inline Float4 min4(Float4 a, Float4 b) { return a < b ? a : b; }

inline Float4 max4(Float4 a, Float4 b) { return a > b ? a : b; }

inline float sum4(Float4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

}  // namespace crossface::CF_VARIANT

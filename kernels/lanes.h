#pragma once

#include <cstring>

#include "common/variant.h"

// Short vectors of one size on every CPU: a fixed lane count fixes the order of additions, so that all
// variants agree bit for bit. A lesser CPU splits them.
namespace crossface::CF_VARIANT {

using Float4 = float __attribute__((vector_size(16)));
using Float8 = float __attribute__((vector_size(32)));

inline Float4 load4(const float* p) {
    Float4 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline Float8 load8(const float* p) {
    Float8 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store4(float* p, Float4 v) { std::memcpy(p, &v, sizeof v); }
inline void store8(float* p, Float8 v) { std::memcpy(p, &v, sizeof v); }

inline Float4 splat4(float s) { return Float4{s, s, s, s}; }
inline Float8 splat8(float s) { return Float8{s, s, s, s, s, s, s, s}; }

inline Float4 low_half(Float8 v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3); }
inline Float4 high_half(Float8 v) { return __builtin_shufflevector(v, v, 4, 5, 6, 7); }
inline Float4 fold(Float8 v) { return low_half(v) + high_half(v); }

// Of two that compare as unordered, the first; so limits go first, or second to let NaN through.
inline Float4 least(Float4 a, Float4 b) { return b < a ? b : a; }
inline Float4 greatest(Float4 a, Float4 b) { return b > a ? b : a; }
inline Float8 least(Float8 a, Float8 b) { return b < a ? b : a; }
inline Float8 greatest(Float8 a, Float8 b) { return b > a ? b : a; }

// The sums (0 + 2) + (1 + 3) of four vectors' lanes.
inline Float4 sum_lanes(Float4 a, Float4 b, Float4 c, Float4 d) {
    const Float4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Float4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// The sums 0 + 2 and 1 + 3 of two vectors' lanes: {a02, a13, b02, b13}.
inline Float4 sum_pairs(Float4 a, Float4 b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

}  // namespace crossface::CF_VARIANT

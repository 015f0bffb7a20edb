#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "common/variant.h"

// Short vectors of one size on every CPU: a fixed lane count fixes the order of additions, so that all
// variants agree bit for bit. A lesser CPU splits them.
namespace crossface::CF_VARIANT {

using Float4 = float __attribute__((vector_size(16)));
using Float8 = float __attribute__((vector_size(32)));
using Int4 = std::int32_t __attribute__((vector_size(16)));
using Int8 = std::int32_t __attribute__((vector_size(32)));
using Short8 = std::int16_t __attribute__((vector_size(16)));

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

// Lane i of vector j to lane j of vector i.
inline void transpose(Float4 (&v)[4]) {
    const Float4 low01 = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5),
                 high01 = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7),
                 low23 = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5),
                 high23 = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

// The sums (0 + 2) + (1 + 3) of four vectors' lanes.
template <typename Vector>
inline Vector sum_lanes(Vector a, Vector b, Vector c, Vector d) {
    const Vector ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Vector cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// The sums 0 + 2 and 1 + 3 of two vectors' lanes: {a02, a13, b02, b13}.
template <typename Vector>
inline Vector sum_pairs(Vector a, Vector b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

inline Short8 load_short8(const std::int16_t* p) {
    Short8 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store_short8(std::int16_t* p, Short8 v) { std::memcpy(p, &v, sizeof v); }

// Two neighbouring 16-bit values, over and over.
inline Short8 splat_pair(const void* pair) {
    std::int32_t both;
    std::memcpy(&both, pair, sizeof both);
    return (Short8)(Int4{both, both, both, both});
}

// a b of values of which one is a fraction of 1 << 15, rounded.
inline Short8 multiply_fractions(Short8 a, Short8 b) {
    return (Short8)_mm_mulhrs_epi16((__m128i)a, (__m128i)b);
}

// a0 b0 + a1 b1, a2 b2 + a3 b3, ...
inline Int4 dot_pairs(Short8 a, Short8 b) { return (Int4)_mm_madd_epi16((__m128i)a, (__m128i)b); }

// Eight sums of products of pairs. By hand, for compilers take vectors of 16-bit integers that are wider than
// a CPU's registers apart into single ones.
class PairSums {
  public:
    // Adds the products of the eight pairs at `line` and two weights, as they lie in memory.
    void add(const std::int16_t* line, std::int32_t both) {
#ifdef __AVX2__
        const Int8 wide{both, both, both, both, both, both, both, both};
        __m256i samples;
        std::memcpy(&samples, line, sizeof samples);
        all_ += (Int8)_mm256_madd_epi16(samples, (__m256i)wide);
#else
        const Short8 weight = (Short8)Int4{both, both, both, both};
        low_ += dot_pairs(load_short8(line), weight);
        high_ += dot_pairs(load_short8(line + 8), weight);
#endif
    }

    // Divided by 1 << kShift and rounded; they must fit.
    template <int kShift>
    Short8 scaled() const {
        constexpr int kHalf = 1 << (kShift - 1);
#ifdef __AVX2__
        const Int8 all = (all_ + kHalf) >> kShift;
        const Int4 low = __builtin_shufflevector(all, all, 0, 1, 2, 3),
                   high = __builtin_shufflevector(all, all, 4, 5, 6, 7);
#else
        const Int4 low = (low_ + kHalf) >> kShift, high = (high_ + kHalf) >> kShift;
#endif
        return (Short8)_mm_packs_epi32((__m128i)low, (__m128i)high);
    }

  private:
#ifdef __AVX2__
    Int8 all_{};
#else
    Int4 low_{}, high_{};
#endif
};

}  // namespace crossface::CF_VARIANT

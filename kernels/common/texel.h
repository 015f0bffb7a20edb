#pragma once

#include <cstdint>
#include <cstring>

#include "half.h"
#include "variant.h"

// Values of the face tensors that networks read and write.
namespace crossface::CF_VARIANT {

// IEEE 754 binary16. A type of our own, because the CPU's compilers need not have one.
struct Half {
    std::uint16_t bits;
};

CF_HOST_DEVICE inline float read_texel(float texel) { return texel; }

// Exact. The scaling turns subnormal halves, moved into the float's place, into normal floats. A GPU has an
// instruction for it, of the same result, and a filter reads many.
CF_HOST_DEVICE inline float read_texel(Half texel) {
#ifdef __CUDA_ARCH__
    float value = 0.0f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(texel.bits));
    return value;
#else
    const std::uint32_t magnitude = texel.bits & 0x7fffu, sign = (texel.bits & 0x8000u) << 16;
    const std::uint32_t moved = magnitude << 13;
    float scaled = 0.0f;
    std::memcpy(&scaled, &moved, sizeof scaled);
    scaled *= 5.192296858534828e33f;  // 2^112, the difference of the exponents' biases
    const std::uint32_t bits = sign | (magnitude >= 0x7c00u ? moved | 0x7f800000u : float_bits(scaled));
    float value = 0.0f;
    std::memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

CF_HOST_DEVICE inline void write_texel(float& texel, float value) { texel = value; }

// As `to_half`, but for the bits of what is no number.
CF_HOST_DEVICE inline void write_texel(Half& texel, float value) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(texel.bits) : "f"(value));
#else
    texel.bits = to_half(value);
#endif
}

}  // namespace crossface::CF_VARIANT

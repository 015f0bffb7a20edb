#pragma once

#include <cstdint>
#include <cstring>

#include "variant.h"

namespace crossface::CF_VARIANT {

CF_HOST_DEVICE inline std::uint32_t float_bits(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// To IEEE 754 binary16, nearest, ties to even. In integers, and without a branch: it gives the same bits on
// every CPU, with or without F16C, and vectorises.
CF_HOST_DEVICE inline std::uint16_t to_half(float value) {
    const std::uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    // The sum's last bit is worth 2^-24, the step of subnormal halves, so the adder rounds for us.
    float positive = 0.0f;
    std::memcpy(&positive, &magnitude, sizeof positive);
    const std::uint32_t subnormal = float_bits(positive + 0.5f) - float_bits(0.5f);
    const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const std::uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return static_cast<std::uint16_t>(sign | (magnitude >= 0x477ff000u ? special : finite));
}

}  // namespace crossface::CF_VARIANT

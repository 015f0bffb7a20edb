#pragma once

#include <cstdint>

#include "frame.h"
#include "pixel.h"
#include "variant.h"

// Single samples of a plane. Filters that read many are templates of the sample type instead.
namespace crossface::CF_VARIANT {

template <typename Sample>
CF_HOST_DEVICE inline Sample* plane_row(const Plane& plane, int y) {
    return reinterpret_cast<Sample*>(plane.base + plane.pitch_bytes * y);
}

template <typename Sample>
CF_HOST_DEVICE inline float read_code_as(const Plane& plane, int padding_bits, int x, int y) {
    return SampleCode<Sample>::read(plane_row<const Sample>(plane, y)[x * plane.step], padding_bits);
}

CF_HOST_DEVICE inline float read_code(const Plane& plane, const Colour& colour, int x, int y) {
    if (colour.bits == kFloatBits) return read_code_as<float>(plane, colour.padding_bits, x, y);
    if (colour.bits == 8) return read_code_as<std::uint8_t>(plane, colour.padding_bits, x, y);
    return read_code_as<std::uint16_t>(plane, colour.padding_bits, x, y);
}

template <typename Sample>
CF_HOST_DEVICE inline void mix_code_as(const Plane& plane, const PixelFormat& format, int x, int y,
                                       float face, float weight) {
    Sample& sample = plane_row<Sample>(plane, y)[x * plane.step];
    sample = mix_sample(format, sample, face, weight);
}

// Replaces a sample by `weight` > 0 parts of the face's code value.
CF_HOST_DEVICE inline void mix_code(const Plane& plane, const Colour& colour, const PixelFormat& format,
                                    int x, int y, float face, float weight) {
    if (colour.bits == kFloatBits) return mix_code_as<float>(plane, format, x, y, face, weight);
    if (colour.bits == 8) return mix_code_as<std::uint8_t>(plane, format, x, y, face, weight);
    return mix_code_as<std::uint16_t>(plane, format, x, y, face, weight);
}

}  // namespace crossface::CF_VARIANT

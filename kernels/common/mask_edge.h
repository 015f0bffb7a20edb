#pragma once

#include "pixel.h"
#include "variant.h"

// The soft edge of a mask, of which a blurred mask is one half or more.
namespace crossface::CF_VARIANT {

// What is less cannot move an 8-bit code by half, and would only widen the box that is blended.
constexpr float kLeastWeight = 1.0f / 512.0f;

// The ramp towards both ends of a row or column of `size` pixels, which keeps weights off the picture's edge.
CF_HOST_DEVICE inline float border_fade(int at, int size, float border_px) {
    const float left = static_cast<float>(at) - 0.5f, right = static_cast<float>(size - at) - 1.5f;
    return clamp((left < right ? left : right) / border_px, 0.0f, 1.0f);
}

// A smooth ramp over the upper half of `blurred`, times `fade`.
CF_HOST_DEVICE inline float soft_weight(float blurred, float fade) {
    const float ramp = clamp(2.0f * blurred - 1.0f, 0.0f, 1.0f);
    const float weight = ramp * ramp * (3.0f - 2.0f * ramp) * fade;
    return weight < kLeastWeight ? 0.0f : weight;
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include "pixel.h"
#include "variant.h"

// Detail of a face: its luma less its luma blurred; and a face with more or less of it.
namespace crossface::CF_VARIANT {

// How far sharpening may leave the range of a pixel's neighbours: less than the eye sees as a halo at an
// edge, and as much as pores have.
constexpr float kOvershoot = 0.01f;

// Rec. 709.
CF_HOST_DEVICE inline float luma_of(float red, float green, float blue) {
    return 0.2126f * red + 0.7152f * green + 0.0722f * blue;
}

// What is added to a pixel's red, green and blue. `amount`: -1 leaves no detail, 1 doubles it. `low`, `high`:
// of the luma of the pixel and its eight neighbours.
CF_HOST_DEVICE inline float sharpening(float luma, float detail, float amount, float low, float high) {
    return clamp(luma + amount * detail, low - kOvershoot, high + kOvershoot) - luma;
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/pixel.h"
#include "common/variant.h"
#include "curve.h"

namespace crossface::CF_VARIANT {

inline void store(float* out, float value) { *out = value; }
inline void store(std::uint16_t* out, float value) { *out = to_half(value); }

// Code values of one row, plane by plane, to what a network is shown. `scratch`: `count` floats.
template <typename Value>
void convert_row(const PixelFormat& format, const Curve& curve, const float* const (&codes)[3], int count,
                 float* __restrict scratch, Value* const (&out)[3]) {
    const float *first = codes[0], *second = codes[1], *third = codes[2];
    for (int channel = 0; channel < 3; ++channel) {
        const float (&row)[4] = format.to_rgb[channel];
        Value* __restrict target = out[channel];
        if (!curve.to_display) {
            for (int x = 0; x < count; ++x) store(target + x, affine_row(row, first[x], second[x], third[x]));
            continue;
        }
        for (int x = 0; x < count; ++x) scratch[x] = affine_row(row, first[x], second[x], third[x]);
        interpolate(curve.to_display, Curve::kCells, scratch, count, scratch);
        for (int x = 0; x < count; ++x) store(target + x, scratch[x]);
    }
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include "pixel.h"
#include "variant.h"

// From an HDR signal to what a network is shown, and back: one monotone, unclipped curve a channel, as
// tables with linear interpolation. kernels/curve_tables.cpp says which curve, and builds them.
namespace crossface::CF_VARIANT {

struct Curve {
    static constexpr int kCells = 4096;

    const float* to_display;  // kCells values and kCells steps for signals 0..1; null for SDR: no curve
    const float* to_signal;   // the same for displays 0..peak, the display value of signal 1
    float cells_per_display;  // kCells / peak
    float fade_begin;         // luma signals between which the face gives way to the source's highlights
    float fade_end;
};

// Beyond its ends a table goes on as its outermost cells do. Their steps are tabulated, because the
// difference of two neighbours would carry the rounding of both far out.
CF_HOST_DEVICE inline float interpolate(const float* table, float position) {
    const int cell = static_cast<int>(clamp(position, 0.0f, Curve::kCells - 1.0f));
    return table[cell] + (position - static_cast<float>(cell)) * table[Curve::kCells + cell];
}

CF_HOST_DEVICE inline float to_display(const Curve& curve, float signal) {
    return interpolate(curve.to_display, signal * Curve::kCells);
}

CF_HOST_DEVICE inline float to_signal(const Curve& curve, float display) {
    return interpolate(curve.to_signal, display * curve.cells_per_display);
}

// The face's share at a luma signal (of the source): all of it up to fade_begin, none from fade_end on.
CF_HOST_DEVICE inline float highlight_fade(const Curve& curve, float luma) {
    const float t =
        clamp((luma - curve.fade_begin) * (1.0f / (curve.fade_end - curve.fade_begin)), 0.0f, 1.0f);
    return 1.0f - t * t * (3.0f - 2.0f * t);
}

}  // namespace crossface::CF_VARIANT

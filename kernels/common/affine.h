#pragma once

#include <cmath>

#include "frame.h"
#include "variant.h"

namespace crossface::CF_VARIANT {

struct Point {
    double x, y;
};

CF_HOST_DEVICE inline Point apply(const Affine& a, double x, double y) {
    return {a.m[0][0] * x + a.m[0][1] * y + a.m[0][2], a.m[1][0] * x + a.m[1][1] * y + a.m[1][2]};
}

// The caller has checked that the determinant is not zero.
CF_HOST_DEVICE inline Affine invert(const Affine& a) {
    const double reciprocal = 1.0 / (a.m[0][0] * a.m[1][1] - a.m[0][1] * a.m[1][0]);
    const double xx = a.m[1][1] * reciprocal, xy = -a.m[0][1] * reciprocal;
    const double yx = -a.m[1][0] * reciprocal, yy = a.m[0][0] * reciprocal;
    return {{{xx, xy, -(xx * a.m[0][2] + xy * a.m[1][2])}, {yx, yy, -(yx * a.m[0][2] + yy * a.m[1][2])}}};
}

// How many output samples one input step spans along x (axis 0) or y (axis 1). For a similarity
// transform both are its scale, whatever the rotation.
CF_HOST_DEVICE inline double stretch(const Affine& a, int axis) {
    const double u = a.m[axis][0], v = a.m[axis][1];
    return std::sqrt(u * u + v * v);
}

// The affine that ends in luma coordinates, continued into the coordinates of the chroma planes.
CF_HOST_DEVICE inline Affine to_chroma(const Affine& to_luma, const Colour& colour) {
    const int shift[2] = {colour.chroma_shift_x, colour.chroma_shift_y};
    const bool cosited[2] = {colour.siting != Siting::kCentre, colour.siting == Siting::kTopLeft};
    Affine chroma = to_luma;
    for (int axis = 0; axis < 2; ++axis) {
        const double ratio = 1.0 / (1 << shift[axis]);
        for (double& term : chroma.m[axis]) term *= ratio;
        // Chroma centre j + 0.5 lies on luma centre (j << shift) + 0.5 when the two are co-sited.
        if (cosited[axis]) chroma.m[axis][2] += 0.5 - 0.5 * ratio;
    }
    return chroma;
}

}  // namespace crossface::CF_VARIANT

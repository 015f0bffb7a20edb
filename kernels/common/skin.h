#pragma once

#include "frame.h"
#include "variant.h"

// Which pixels of a face are skin, told by colour alone: those near the mean of the face, in deviations of
// the face. Light varies a lot over skin and hue hardly does, and so the covariance has it; hair, brows,
// lips, teeth and what of the background got under the mask lie apart. A pixel must be skin in both faces,
// the old and the new one, so that the two are compared at the same places: where one has a beard neither
// counts.
namespace crossface::CF_VARIANT {

struct SkinColour {
    float mean[3];
    float precision[6];  // inverse of the covariance: rr, rg, rb, gg, gb, bb
};

// Squared deviations from which on nothing is skin. Of a normal distribution 0.1 % lie there.
constexpr float kSkinReach = 16.0f;
// Of a variance, in R'G'B' of 0..1: a flat colour is skin with the noise that 8 bits have.
constexpr double kSkinFloor = 1e-5;

// `spread`: that the covariance is multiplied by. Statistics of nothing tell nothing: all is skin then.
CF_HOST_DEVICE inline SkinColour skin_colour(const Statistics& face, double spread) {
    double c[3][3];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) c[i][j] = spread * face.covariance[i][j] + (i == j ? kSkinFloor : 0.0);
    const double rr = c[1][1] * c[2][2] - c[1][2] * c[1][2], rg = c[0][2] * c[1][2] - c[0][1] * c[2][2],
                 rb = c[0][1] * c[1][2] - c[0][2] * c[1][1], gg = c[0][0] * c[2][2] - c[0][2] * c[0][2],
                 gb = c[0][1] * c[0][2] - c[0][0] * c[1][2], bb = c[0][0] * c[1][1] - c[0][1] * c[0][1];
    // Never 0, for the floor is under every variance.
    const double scale = 1.0 / (c[0][0] * rr + c[0][1] * rg + c[0][2] * rb);
    SkinColour skin;
    for (int i = 0; i < 3; ++i) skin.mean[i] = static_cast<float>(face.mean[i]);
    const double inverse[6] = {rr, rg, rb, gg, gb, bb};
    for (int i = 0; i < 6; ++i)
        skin.precision[i] = face.weight > 0.0 ? static_cast<float>(scale * inverse[i]) : 0.0f;
    return skin;
}

// 1 at the mean, 0 from kSkinReach on (Tukey's biweight).
CF_HOST_DEVICE inline float skin_share(const SkinColour& skin, float red, float green, float blue) {
    const float r = red - skin.mean[0], g = green - skin.mean[1], b = blue - skin.mean[2];
    const float (&p)[6] = skin.precision;
    const float squared =
        r * (p[0] * r + 2.0f * (p[1] * g + p[2] * b)) + g * (p[3] * g + 2.0f * p[4] * b) + p[5] * b * b;
    const float left = 1.0f - squared * (1.0f / kSkinReach);
    return left > 0.0f ? left * left : 0.0f;
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstdint>

#include "pixel.h"
#include "variant.h"

// How strong a plate's noise is: what a mask that answers neither to flat areas nor to slopes gives at each
// sample (J. Immerkaer, "Fast Noise Variance Estimation", CVIU 64(2), 1996), with neighbours one and two
// samples apart. Answers are counted, and the mean of the least three quarters taken, because wrinkles and
// the edges of features are among the others.
namespace crossface::CF_VARIANT {

constexpr int kNoiseBins = 1024, kNoiseSteps = 2;
constexpr float kBinsPerAnswer = 4.0f;  // of codes of 8 bits: 256 is the largest that is told from others
constexpr double kNoiseKept = 0.75;
// Mean magnitude of the least three quarters of a normal distribution, 2 (f(0) - f(z)) / 0.75 at its quartile
// z = 1.150349, times the mask's own deviation of 6.
constexpr double kNoiseScale = 1.0 / (0.5145617 * 6.0);
// Of the mask of skin, from which on a sample is asked.
constexpr float kLeastSkin = 0.25f;
// Rows that are asked at most, spread over the face.
constexpr int kNoiseRows = 64;

// Counts [kNoiseSteps][kNoiseBins] to the noise's deviation in codes of 8 bits; 0 without any.
CF_HOST_DEVICE inline double noise_of(const std::uint32_t* counts) {
    double total = 0.0;
    for (int bin = 0; bin < kNoiseBins; ++bin) total += counts[bin];
    double left = kNoiseKept * total, sum = 0.0;
    const double kept = left;
    for (int bin = 0; bin < kNoiseBins && left > 0.0; ++bin) {
        const double taken = counts[bin] < left ? counts[bin] : left;
        sum += taken * bin;
        left -= taken;
    }
    return kept > 0.0 ? sum / kept / kBinsPerAnswer * kNoiseScale : 0.0;
}

// Of the sample in the middle of a [3][3] neighbourhood, in codes of 8 bits.
CF_HOST_DEVICE inline int noise_bin(const float (&v)[3][3], float codes_to_8_bits) {
    const float answer = (v[0][0] + v[0][2] + v[2][0] + v[2][2]) -
                         2.0f * (v[0][1] + v[1][0] + v[1][2] + v[2][1]) + 4.0f * v[1][1];
    const float magnitude = (answer < 0.0f ? -answer : answer) * codes_to_8_bits * kBinsPerAnswer + 0.5f;
    // Of what is no number, the last one.
    return magnitude < kNoiseBins - 1.0f ? static_cast<int>(magnitude) : kNoiseBins - 1;
}

}  // namespace crossface::CF_VARIANT

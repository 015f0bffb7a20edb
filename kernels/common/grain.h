#pragma once

#include <cmath>
#include <cstdint>

#include "frame.h"
#include "variant.h"

// Noise that a plate has and a network does not draw. It is made of each sample's place and the frame's own
// number alone, so that it does not matter who makes which frame.
namespace crossface::CF_VARIANT {

// Of mean 0 and deviation 1, from -3.5 to 3.5: the sum of the four bytes of a hash, near enough to a normal
// distribution.
CF_HOST_DEVICE inline float white_noise(std::uint32_t seed, int x, int y) {
    std::uint32_t hash =
        seed + static_cast<std::uint32_t>(x) * 0x9e3779b1u + static_cast<std::uint32_t>(y) * 0xc2b2ae3du;
    hash = (hash ^ (hash >> 16)) * 0x7feb352du;
    hash = (hash ^ (hash >> 15)) * 0x846ca68bu;
    hash ^= hash >> 16;
    // As a signed number, which every CPU turns into a float at once.
    const int sum =
        static_cast<int>((hash & 0xffu) + (hash >> 8 & 0xffu) + (hash >> 16 & 0xffu) + (hash >> 24));
    return (static_cast<float>(sum) - 510.0f) * (1.0f / 147.79942f);
}

// How much more noise a face of weight `weight` gets, so that with what is left of the plate's noise the sum
// is as strong as either: w^2 g^2 + (1 - w)^2 = 1.
CF_HOST_DEVICE inline float grain_gain(float weight) {
    const float least = weight > 1e-6f ? weight : 1e-6f;
    return std::sqrt((2.0f - least) / least);
}

// The noise at a sample, as rows of it are made on the CPU.
CF_HOST_DEVICE inline float grain_at(const Grain& grain, int x, int y) {
    float rows[3];
    for (int j = 0; j < 3; ++j)
        rows[j] = grain.centre * white_noise(grain.seed, x, y + j - 1) +
                  grain.side *
                      (white_noise(grain.seed, x - 1, y + j - 1) + white_noise(grain.seed, x + 1, y + j - 1));
    return grain.centre * rows[1] + grain.side * (rows[0] + rows[2]);
}

}  // namespace crossface::CF_VARIANT

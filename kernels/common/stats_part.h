#pragma once

#include <cstddef>

#include "frame.h"
#include "texel.h"
#include "variant.h"

// `stats` on the device: sums over parts of a face, then over the parts, both in a fixed tree and not by
// atomics, whose order changes from run to run.
namespace crossface::CF_VARIANT {

constexpr int kStatsThreads = 128;      // of a block, which sums one part; a power of two
constexpr int kStatsPixels = 16;        // of a thread
constexpr int kStatsTotalThreads = 32;  // of a block, which adds the parts of one face; a power of two
constexpr int kStatsPart = kStatsThreads * kStatsPixels;

CF_HOST_DEVICE constexpr int stats_parts(int pixels) { return (pixels + kStatsPart - 1) / kStatsPart; }

// Weight, weighted r, g, b, and weighted rr, rg, rb, gg, gb, bb. In double no shift towards the mean is
// needed to take the difference of squares: what is lost is below 1e-15.
struct ColourSums {
    static constexpr int kCount = 10;
    double values[kCount];
};

// What thread `thread` adds up: neighbouring threads read neighbouring pixels.
template <typename Texel>
CF_HOST_DEVICE inline ColourSums sum_pixels(const Texel* rgb, const Texel* mask, int pixels, int part,
                                            int thread) {
    ColourSums sums{};
    const int begin = part * kStatsPart + thread;
    for (int i = 0; i < kStatsPixels; ++i) {
        const std::ptrdiff_t pixel = begin + i * kStatsThreads;
        if (pixel >= pixels) break;
        const double weight = read_texel(mask[pixel]);
        if (weight == 0.0) continue;
        double colour[3];
        for (int c = 0; c < 3; ++c)
            colour[c] = read_texel(rgb[c * static_cast<std::ptrdiff_t>(pixels) + pixel]);
        sums.values[0] += weight;
        for (int a = 0, next = 4; a < 3; ++a) {
            const double weighted = weight * colour[a];
            sums.values[1 + a] += weighted;
            for (int b = a; b < 3; ++b, ++next) sums.values[next] += weighted * colour[b];
        }
    }
    return sums;
}

// What thread `thread` of the second stage adds up.
CF_HOST_DEVICE inline ColourSums sum_parts(const ColourSums* parts, int count, int thread) {
    ColourSums sums{};
    for (int part = thread; part < count; part += kStatsTotalThreads)
        for (int i = 0; i < ColourSums::kCount; ++i) sums.values[i] += parts[part].values[i];
    return sums;
}

// One level of the tree: for distances of half the threads, a quarter, ... 1.
CF_HOST_DEVICE inline void fold_sums(ColourSums* sums, int thread, int distance) {
    if (thread >= distance) return;
    for (int i = 0; i < ColourSums::kCount; ++i) sums[thread].values[i] += sums[thread + distance].values[i];
}

CF_HOST_DEVICE inline Statistics statistics_of(const ColourSums& sums) {
    Statistics result{};
    const double weight = sums.values[0];
    if (!(weight > 0.0)) return result;
    result.weight = weight;
    for (int c = 0; c < 3; ++c) result.mean[c] = sums.values[1 + c] / weight;
    for (int a = 0, next = 4; a < 3; ++a)
        for (int b = a; b < 3; ++b, ++next)
            result.covariance[a][b] = result.covariance[b][a] =
                sums.values[next] / weight - result.mean[a] * result.mean[b];
    return result;
}

}  // namespace crossface::CF_VARIANT

#include "common/skin.h"
#include "common/variant.h"
#include "cpu.h"
#include "lanes.h"

namespace crossface::CF_VARIANT {

namespace {

// A fixed number of partial sums, so that every variant adds in the same order.
constexpr std::size_t kLanes = 8;
using Double8 = double __attribute__((vector_size(64)));

double sum_lanes(const Double8& v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// Sums over pixels, of colours relative to a value near the mean: without that, E[x^2] - E[x]^2 would be
// the difference of two large numbers.
struct Sums {
    Double8 weight{}, first[3]{}, second[6]{};  // second: rr, rg, rb, gg, gb, bb

    void add(const float* const (&channels)[3], const float* mask, std::size_t pixel,
             const double (&near)[3]) {
        const Double8 w = __builtin_convertvector(load8(mask + pixel), Double8);
        Double8 offset[3], weighted[3];
        for (int c = 0; c < 3; ++c) {
            offset[c] = __builtin_convertvector(load8(channels[c] + pixel), Double8) - near[c];
            weighted[c] = w * offset[c];
            first[c] += weighted[c];
        }
        weight += w;
        for (int a = 0, i = 0; a < 3; ++a)
            for (int b = a; b < 3; ++b, ++i) second[i] += weighted[a] * offset[b];
    }
};

bool any_weight(const float* mask, std::size_t pixel) {
    bool any = false;
    for (std::size_t k = 0; k < kLanes; ++k) any |= mask[pixel + k] != 0.0f;
    return any;
}

}  // namespace

Statistics stats(const float* rgb, const float* mask, std::size_t pixels) {
    const float* channels[3] = {rgb, rgb + pixels, rgb + 2 * pixels};

    // The last pixels, filled up to a group with weight zero.
    const std::size_t whole = pixels / kLanes * kLanes;
    float last[3][kLanes] = {}, last_mask[kLanes] = {};
    for (std::size_t i = whole; i < pixels; ++i) {
        last_mask[i - whole] = mask[i];
        for (int c = 0; c < 3; ++c) last[c][i - whole] = channels[c][i];
    }
    const float* last_channels[3] = {last[0], last[1], last[2]};

    // Of a sample of the groups, for a value near the mean.
    constexpr double kZero[3] = {};
    Sums sample;
    for (std::size_t i = 0; i < whole; i += 16 * kLanes)
        if (any_weight(mask, i)) sample.add(channels, mask, i, kZero);
    const double sampled = sum_lanes(sample.weight);
    double near[3] = {};
    if (sampled > 0.0)
        for (int c = 0; c < 3; ++c) near[c] = sum_lanes(sample.first[c]) / sampled;

    Sums sums;
    for (std::size_t i = 0; i < whole; i += kLanes)
        if (any_weight(mask, i)) sums.add(channels, mask, i, near);
    sums.add(last_channels, last_mask, 0, near);

    Statistics result{};
    result.weight = sum_lanes(sums.weight);
    if (!(result.weight > 0.0)) return {};
    double mean[3];
    for (int c = 0; c < 3; ++c) {
        mean[c] = sum_lanes(sums.first[c]) / result.weight;
        result.mean[c] = near[c] + mean[c];
    }
    for (int a = 0, i = 0; a < 3; ++a)
        for (int b = a; b < 3; ++b, ++i)
            result.covariance[a][b] = result.covariance[b][a] =
                sum_lanes(sums.second[i]) / result.weight - mean[a] * mean[b];
    return result;
}

void skin(const float* drawn, const float* source, const float* mask, int size, int row_step,
          const Statistics& of_drawn, const Statistics& of_source, double spread, float* out) {
    const SkinColour mine = skin_colour(of_drawn, spread), its = skin_colour(of_source, spread);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    for (int y = 0; y < size; ++y) {
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(y) * size;
        float* __restrict shares = out + row;
        if (y % row_step != 0) {
            for (int x = 0; x < size; ++x) shares[x] = 0.0f;
            continue;
        }
        const float *weights = mask + row, *red = drawn + row, *source_red = source + row;
        for (int x = 0; x < size; ++x)
            shares[x] = weights[x] * skin_share(mine, red[x], red[x + plane], red[x + 2 * plane]) *
                        skin_share(its, source_red[x], source_red[x + plane], source_red[x + 2 * plane]);
    }
}

}  // namespace crossface::CF_VARIANT

#include "common/variant.h"
#include "cpu.h"

namespace crossface::CF_VARIANT {

namespace {

// A fixed number of partial sums, so that every variant adds in the same order.
constexpr std::size_t kLanes = 8;

struct Sum {
    double lanes[kLanes] = {};

    double total() const {
        return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
               ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    }
};

// Calls body(first pixel, lanes) over all pixels; the last call may have fewer lanes.
template <typename Body>
void for_each_group(std::size_t pixels, Body body) {
    std::size_t i = 0;
    for (; i + kLanes <= pixels; i += kLanes) body(i, kLanes);
    if (i < pixels) body(i, pixels - i);
}

}  // namespace

Statistics stats(const float* rgb, const float* mask, std::size_t pixels) {
    const float* channels[3] = {rgb, rgb + pixels, rgb + 2 * pixels};
    Statistics result{};

    Sum weight, first[3];
    for_each_group(pixels, [&](std::size_t i, std::size_t lanes) {
        for (std::size_t k = 0; k < lanes; ++k) weight.lanes[k] += static_cast<double>(mask[i + k]);
        for (int c = 0; c < 3; ++c)
            for (std::size_t k = 0; k < lanes; ++k)
                first[c].lanes[k] +=
                    static_cast<double>(mask[i + k]) * static_cast<double>(channels[c][i + k]);
    });
    result.weight = weight.total();
    if (!(result.weight > 0.0)) return {};
    for (int c = 0; c < 3; ++c) result.mean[c] = first[c].total() / result.weight;

    // A second pass about the mean: the textbook shortcut E[x^2] - E[x]^2 can come out negative.
    Sum second[3][3];
    for_each_group(pixels, [&](std::size_t i, std::size_t lanes) {
        for (std::size_t k = 0; k < lanes; ++k) {
            const double w = static_cast<double>(mask[i + k]);
            double offset[3];
            for (int c = 0; c < 3; ++c) offset[c] = static_cast<double>(channels[c][i + k]) - result.mean[c];
            for (int a = 0; a < 3; ++a)
                for (int b = a; b < 3; ++b) second[a][b].lanes[k] += w * offset[a] * offset[b];
        }
    });
    for (int a = 0; a < 3; ++a)
        for (int b = a; b < 3; ++b)
            result.covariance[a][b] = result.covariance[b][a] = second[a][b].total() / result.weight;
    return result;
}

}  // namespace crossface::CF_VARIANT

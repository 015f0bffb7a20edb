#include "common/stats_part.h"

// First grid: stats_parts(pixels), faces; block: kStatsThreads. Second grid: faces; block:
// kStatsTotalThreads.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void sum_part(const Texel* rgb, const Texel* mask, int pixels, ColourSums* parts) {
    __shared__ ColourSums sums[kStatsThreads];
    const int thread = static_cast<int>(threadIdx.x), part = static_cast<int>(blockIdx.x);
    const std::ptrdiff_t face = static_cast<std::ptrdiff_t>(blockIdx.y) * pixels;
    sums[thread] = sum_pixels(rgb + 3 * face, mask + face, pixels, part, thread);
    for (int distance = kStatsThreads / 2; distance > 0; distance /= 2) {
        __syncthreads();
        fold_sums(sums, thread, distance);
    }
    if (thread == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = sums[0];
}

}  // namespace

// Of `rgb` [faces, 3, pixels] and `mask` [faces, pixels] to `parts` [faces, stats_parts(pixels)].
extern "C" __global__ void __launch_bounds__(kStatsThreads)
    stats_parts_f32(const float* rgb, const float* mask, int pixels, ColourSums* parts) {
    sum_part(rgb, mask, pixels, parts);
}

extern "C" __global__ void __launch_bounds__(kStatsThreads)
    stats_parts_f16(const Half* rgb, const Half* mask, int pixels, ColourSums* parts) {
    sum_part(rgb, mask, pixels, parts);
}

// Of `parts` [faces, count] to `statistics` [faces].
extern "C" __global__ void __launch_bounds__(kStatsTotalThreads)
    stats_totals(const ColourSums* parts, int count, Statistics* statistics) {
    __shared__ ColourSums sums[kStatsTotalThreads];
    const int thread = static_cast<int>(threadIdx.x);
    sums[thread] = sum_parts(parts + static_cast<std::ptrdiff_t>(blockIdx.x) * count, count, thread);
    for (int distance = kStatsTotalThreads / 2; distance > 0; distance /= 2) {
        __syncthreads();
        fold_sums(sums, thread, distance);
    }
    if (thread == 0) statistics[blockIdx.x] = statistics_of(sums[0]);
}

}  // namespace crossface::device

#include "common/soften_tile.h"

// First and second grid: tiles across, tiles down, jobs; block: kSoftenColumns x kSoftenRows. Third grid:
// jobs; block: kAreaThreads.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void blur_down(const SoftenJob* jobs, const float* taps, int radius, int size, const Texel* masks,
                          float* lines) {
    const int number = static_cast<int>(blockIdx.z);
    soften_down_pixel(jobs[number], number, static_cast<int>(blockIdx.x * kSoftenColumns + threadIdx.x),
                      static_cast<int>(blockIdx.y * kSoftenRows + threadIdx.y), taps, radius, size, masks,
                      lines);
}

template <typename Texel>
__device__ void blur_across(const SoftenJob* jobs, const float* taps, int radius, float border_px, int size,
                            const float* lines, Texel* out, double* tiles) {
    __shared__ double sums[kSoftenThreads];
    const int number = static_cast<int>(blockIdx.z);
    const int thread = static_cast<int>(threadIdx.y * kSoftenColumns + threadIdx.x);
    sums[thread] = soften_across_pixel(
        jobs[number], number, static_cast<int>(blockIdx.x * kSoftenColumns + threadIdx.x),
        static_cast<int>(blockIdx.y * kSoftenRows + threadIdx.y), taps, radius, border_px, size, lines, out);
    if (!tiles) return;
    for (int distance = kSoftenThreads / 2; distance > 0; distance /= 2) {
        __syncthreads();
        fold_areas(sums, thread, distance);
    }
    if (thread == 0) tiles[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = sums[0];
}

}  // namespace

// Of the jobs' items of `masks` [items, size, size] to `lines` [jobs, size, size].
extern "C" __global__ void __launch_bounds__(kSoftenThreads)
    soften_down_f32(const SoftenJob* jobs, const float* taps, int radius, int size, const float* masks,
                    float* lines) {
    blur_down(jobs, taps, radius, size, masks, lines);
}

extern "C" __global__ void __launch_bounds__(kSoftenThreads)
    soften_down_f16(const SoftenJob* jobs, const float* taps, int radius, int size, const Half* masks,
                    float* lines) {
    blur_down(jobs, taps, radius, size, masks, lines);
}

// Of `lines` to the jobs' items of `out` [items, size, size], and sums of `tiles` [jobs, blocks] or null.
extern "C" __global__ void __launch_bounds__(kSoftenThreads)
    soften_across_f32(const SoftenJob* jobs, const float* taps, int radius, float border_px, int size,
                      const float* lines, float* out, double* tiles) {
    blur_across(jobs, taps, radius, border_px, size, lines, out, tiles);
}

extern "C" __global__ void __launch_bounds__(kSoftenThreads)
    soften_across_f16(const SoftenJob* jobs, const float* taps, int radius, float border_px, int size,
                      const float* lines, Half* out, double* tiles) {
    blur_across(jobs, taps, radius, border_px, size, lines, out, tiles);
}

// Of `tiles` [jobs, count] to the jobs' items of `areas` [items]: means of masks of `pixels`.
extern "C" __global__ void __launch_bounds__(kAreaThreads)
    soften_areas(const SoftenJob* jobs, const double* tiles, int count, int pixels, double* areas) {
    __shared__ double sums[kAreaThreads];
    const int thread = static_cast<int>(threadIdx.x);
    sums[thread] = sum_tiles(tiles + static_cast<std::ptrdiff_t>(blockIdx.x) * count, count, thread);
    for (int distance = kAreaThreads / 2; distance > 0; distance /= 2) {
        __syncthreads();
        fold_areas(sums, thread, distance);
    }
    if (thread == 0) areas[jobs[blockIdx.x].item] = sums[0] / pixels;
}

}  // namespace crossface::device

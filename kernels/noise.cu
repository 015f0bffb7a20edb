#include "common/jobs.h"
#include "common/noise_part.h"

// First grid: blocks for all groups of a face, jobs; block: kNoiseThreads. Second grid: jobs; block:
// kNoiseSteps.
namespace crossface::device {

// Adds to `counts` [jobs, kNoiseSteps, kNoiseBins] what the jobs' samples answer where `skin` [items, size,
// size] says so. Whole numbers: their sum does not depend on whose turn it is.
extern "C" __global__ void __launch_bounds__(kNoiseThreads)
    noise_counts(const DeviceFrame* frames, const CropJob* jobs, const float* skin, int size,
                 std::uint32_t* counts) {
    __shared__ NoiseRows rows;
    const CropJob& job = jobs[blockIdx.y];
    const Frame& frame = frames[job.frame].frame;
    if (threadIdx.x == 0) rows = noise_rows(frame.planes[0], job.crop_to_luma, size);
    __syncthreads();
    std::uint32_t* mine = counts + static_cast<std::ptrdiff_t>(blockIdx.y) * (kNoiseSteps * kNoiseBins);
    count_answers(frame, rows, job.item, size, skin,
                  static_cast<int>(blockIdx.x * kNoiseThreads + threadIdx.x),
                  [&](int step, int bin) { atomicAdd(mine + step * kNoiseBins + bin, 1u); });
}

// To the jobs' items of `deviations` [items, kNoiseSteps], in codes of 8 bits.
extern "C" __global__ void __launch_bounds__(kNoiseSteps)
    noise_totals(const CropJob* jobs, const std::uint32_t* counts, double* deviations) {
    const int step = static_cast<int>(threadIdx.x);
    deviations[jobs[blockIdx.x].item * kNoiseSteps + step] =
        noise_of(counts + static_cast<std::ptrdiff_t>(blockIdx.x * kNoiseSteps + threadIdx.x) * kNoiseBins);
}

}  // namespace crossface::device

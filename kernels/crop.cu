#include "common/crop_tile.h"

// Grid: tiles across, tiles down, jobs. Block: kCropColumns x kCropRows.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void crop_faces(const DeviceFrame* frames, const CropJob* jobs, int size, Texel* rgb) {
    __shared__ FrameTile tile;
    const CropJob& job = jobs[blockIdx.z];
    const DeviceFrame& source = frames[job.frame];
    const int x = static_cast<int>(blockIdx.x) * kCropColumns, y = static_cast<int>(blockIdx.y) * kCropRows;
    const int dx = static_cast<int>(threadIdx.x), dy = static_cast<int>(threadIdx.y);
    if (dx == 0 && dy == 0) tile = crop_tile(source, job, x, y);
    __syncthreads();
    crop_pixel(source, job, tile, x, y, dx, dy, size, rgb);
}

}  // namespace

// Fills the jobs' items of `rgb` [items, 3, size, size].
extern "C" __global__ void __launch_bounds__(kCropColumns* kCropRows, 3)
    crop_f32(const DeviceFrame* frames, const CropJob* jobs, int size, float* rgb) {
    crop_faces(frames, jobs, size, rgb);
}

extern "C" __global__ void __launch_bounds__(kCropColumns* kCropRows, 3)
    crop_f16(const DeviceFrame* frames, const CropJob* jobs, int size, Half* rgb) {
    crop_faces(frames, jobs, size, rgb);
}

}  // namespace crossface::device

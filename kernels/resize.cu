#include "common/resize_tile.h"

// Grid: tiles across, tiles down, jobs. Block: kResizeColumns x kResizeRows.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void resize_frames(const DeviceFrame* frames, const ResizeJob* jobs, int width, int height,
                              Texel* rgb) {
    __shared__ ResizeTile tile;
    const ResizeJob& job = jobs[blockIdx.z];
    const DeviceFrame& source = frames[job.frame];
    const int x = static_cast<int>(blockIdx.x) * kResizeColumns;
    const int y = static_cast<int>(blockIdx.y) * kResizeRows;
    const int dx = static_cast<int>(threadIdx.x), dy = static_cast<int>(threadIdx.y);
    if (dx == 0 && dy == 0) tile = resize_tile(source, job, x, y, width, height);
    __syncthreads();
    resize_pixel(source, job, tile, x, y, dx, dy, width, height, rgb);
}

}  // namespace

// Fills the jobs' items of `rgb` [items, 3, height, width].
extern "C" __global__ void __launch_bounds__(kResizeColumns* kResizeRows, 3)
    resize_f32(const DeviceFrame* frames, const ResizeJob* jobs, int width, int height, float* rgb) {
    resize_frames(frames, jobs, width, height, rgb);
}

extern "C" __global__ void __launch_bounds__(kResizeColumns* kResizeRows, 3)
    resize_f16(const DeviceFrame* frames, const ResizeJob* jobs, int width, int height, Half* rgb) {
    resize_frames(frames, jobs, width, height, rgb);
}

}  // namespace crossface::device

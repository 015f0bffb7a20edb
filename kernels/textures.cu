#include "common/texture_pixel.h"

// Grid: tiles across, tiles down, jobs; block: kTextureColumns x kTextureRows. Of `skin` the grid is threads
// for all pixels, items; block: kTextureThreads.
namespace crossface::device {

namespace {

__device__ int pixel_x() { return static_cast<int>(blockIdx.x * kTextureColumns + threadIdx.x); }
__device__ int pixel_y() { return static_cast<int>(blockIdx.y * kTextureRows + threadIdx.y); }

}  // namespace

// Of `masks` [items, size, size] what is skin in `drawn` and `source` [items, 3, size, size], by their
// statistics [items], to `out` [items, size, size], but of every `row_step`th row alone.
extern "C" __global__ void __launch_bounds__(kTextureThreads)
    skin(const float* drawn, const float* source, const float* masks, const Statistics* of_drawn,
         const Statistics* of_source, double spread, int size, int row_step, float* out) {
    skin_pixel(drawn, source, masks, of_drawn, of_source, spread, size, row_step,
               static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x * kTextureThreads + threadIdx.x),
               out);
}

// Of the jobs' items of `drawn` and `source` [items, 3, size, size] to `out` of the same shape.
extern "C" __global__ void __launch_bounds__(kTextureThreads)
    details(const SharpenJob* jobs, const float* drawn, const float* source, int size, float* out) {
    detail_pixel(jobs[blockIdx.z], drawn, source, size, pixel_x(), pixel_y(), out);
}

// Of the jobs' items of `faces` [items, 3, size, size] to `out` of the same shape.
extern "C" __global__ void __launch_bounds__(kTextureThreads)
    sharpen(const SharpenJob* jobs, const float* faces, int size, float* out) {
    sharpen_pixel(jobs[blockIdx.z], faces, size, pixel_x(), pixel_y(), out);
}

}  // namespace crossface::device

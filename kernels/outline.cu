#include "common/outline_tile.h"

// Grid: tiles across, tiles down, jobs. Block: kOutlineColumns x kOutlineRows.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void cut_masks(const Edge* edges, const OutlineJob* jobs, int size, Texel* masks) {
    outline_pixel(edges, jobs[blockIdx.z], static_cast<int>(blockIdx.x * kOutlineColumns + threadIdx.x),
                  static_cast<int>(blockIdx.y * kOutlineRows + threadIdx.y), size, masks);
}

}  // namespace

// Multiplies the jobs' items of `masks` [items, size, size] by filled polygons.
extern "C" __global__ void __launch_bounds__(kOutlineColumns* kOutlineRows)
    outline_f32(const Edge* edges, const OutlineJob* jobs, int size, float* masks) {
    cut_masks(edges, jobs, size, masks);
}

extern "C" __global__ void __launch_bounds__(kOutlineColumns* kOutlineRows)
    outline_f16(const Edge* edges, const OutlineJob* jobs, int size, Half* masks) {
    cut_masks(edges, jobs, size, masks);
}

}  // namespace crossface::device

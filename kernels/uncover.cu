#include "common/uncover_tile.h"

// Grid: tiles across, tiles down, faces. Block: kUncoverColumns x kUncoverRows.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void keep_seen(const int* items, int side, const float* maps, int size, Texel* masks) {
    uncover_pixel(items[blockIdx.z], static_cast<int>(blockIdx.x * kUncoverColumns + threadIdx.x),
                  static_cast<int>(blockIdx.y * kUncoverRows + threadIdx.y), side, maps, size, masks);
}

}  // namespace

// Multiplies the `items` of `masks` [all, size, size] by those of `maps` [all, side, side], enlarged.
extern "C" __global__ void __launch_bounds__(kUncoverColumns* kUncoverRows)
    uncover_f32(const int* items, int side, const float* maps, int size, float* masks) {
    keep_seen(items, side, maps, size, masks);
}

extern "C" __global__ void __launch_bounds__(kUncoverColumns* kUncoverRows)
    uncover_f16(const int* items, int side, const float* maps, int size, Half* masks) {
    keep_seen(items, side, maps, size, masks);
}

}  // namespace crossface::device

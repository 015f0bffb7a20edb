#include "common/values_part.h"

// Grid: values_parts of the values, then (`finite`) items. Block: kValuesThreads.
namespace crossface::device {

namespace {

template <typename Texel>
__device__ void look_for_no_number(const Texel* values, int each, int* finite) {
    const int item = static_cast<int>(blockIdx.y);
    const bool found =
        has_no_number(values, item, static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), each);
    // All blocks that find one write the same.
    if (found) finite[item] = 0;
}

}  // namespace

// `to` [count] = clamp(scale * from + offset, low, high).
extern "C" __global__ void __launch_bounds__(kValuesThreads)
    prepare_f32_f32(const float* from, int count, float scale, float offset, float low, float high,
                    float* to) {
    prepare_values(static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), count, scale, offset, low,
                   high, from, to);
}

extern "C" __global__ void __launch_bounds__(kValuesThreads)
    prepare_f32_f16(const float* from, int count, float scale, float offset, float low, float high,
                    Half* to) {
    prepare_values(static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), count, scale, offset, low,
                   high, from, to);
}

extern "C" __global__ void __launch_bounds__(kValuesThreads)
    prepare_f16_f32(const Half* from, int count, float scale, float offset, float low, float high,
                    float* to) {
    prepare_values(static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), count, scale, offset, low,
                   high, from, to);
}

extern "C" __global__ void __launch_bounds__(kValuesThreads)
    prepare_f16_f16(const Half* from, int count, float scale, float offset, float low, float high, Half* to) {
    prepare_values(static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x), count, scale, offset, low,
                   high, from, to);
}

// Of `values` [items, each]: items of `finite` become 0 where one is not.
extern "C" __global__ void __launch_bounds__(kValuesThreads)
    finite_f32(const float* values, int each, int* finite) {
    look_for_no_number(values, each, finite);
}

extern "C" __global__ void __launch_bounds__(kValuesThreads)
    finite_f16(const Half* values, int each, int* finite) {
    look_for_no_number(values, each, finite);
}

}  // namespace crossface::device

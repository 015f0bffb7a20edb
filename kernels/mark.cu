#include "common/mark_block.h"

// Grid: jobs. Block: kMarkThreads.
namespace crossface::device {

namespace {

// The block's threads, which wait for each other after every step.
struct InBlock {
    template <typename Step>
    __device__ void places(int rows, int columns, Step step) const {
        mark_places(static_cast<int>(threadIdx.x), rows, columns, step);
        __syncthreads();
    }
    template <typename Step>
    __device__ void bits(Step step) const {
        if (threadIdx.x < kMarkBits) step(static_cast<int>(threadIdx.x));
        __syncthreads();
    }
    template <typename Step>
    __device__ void once(Step step) const {
        if (threadIdx.x == 0) step();
        __syncthreads();
    }
};

}  // namespace

// Marks of the jobs' items of `faces` [items, 3, size, size] under `masks` [items, size, size], to `marks`
// [items, kMarkSide, kMarkSide]. `chips` and `signs` are a MarkKey; `memory` [jobs, MarkSheet::kFloats].
// There are few faces: told that one block on a processor will do, the compiler spills no registers.
extern "C" __global__ void __launch_bounds__(kMarkThreads, 1)
    mark(const MarkJob* jobs, const int* chips, const float* signs, const float* faces, const float* masks,
         int size, float* memory, float* marks) {
    mark_face(InBlock{}, jobs[blockIdx.x], {chips, signs}, faces, masks, size,
              memory + static_cast<std::ptrdiff_t>(blockIdx.x) * MarkSheet::kFloats, marks);
}

}  // namespace crossface::device

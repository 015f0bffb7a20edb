#pragma once

#include <cstddef>

#include "mark.h"
#include "tile.h"
#include "variant.h"

// `make_mark` on the device: a block a face, whose threads share every step.
namespace crossface::CF_VARIANT {

// Calls step(i) for those places that are thread `thread`'s.
template <typename Step>
CF_HOST_DEVICE inline void mark_places(int thread, int rows, int columns, Step step) {
    const int across = kMarkPitch - 2 * columns, count = across * (kMarkPitch - 2 * rows);
    CF_KEEP_ROLLED for (int k = thread; k < count; k += kMarkThreads)
        step((rows + k / across) * kMarkPitch + columns + k % across);
}

static_assert(kMarkBits <= kMarkThreads);

// Of the job's item of `faces` [items, 3, size, size] under `masks` [items, size, size], to that of `marks`
// [items, kMarkSide, kMarkSide]. `memory`: MarkSheet::kFloats of this face.
template <typename Run>
CF_HOST_DEVICE inline void mark_face(const Run& run, const MarkJob& job, const MarkKey& key,
                                     const float* faces, const float* masks, int size, float* memory,
                                     float* marks) {
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(size) * size;
    const float *red = faces + 3 * pixels * job.item, *green = red + pixels, *blue = green + pixels;
    make_mark(
        run, job, key, masks + pixels * job.item, size, MarkSheet(memory),
        [&](int x, int y) {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(y) * size + x;
            return affine_row(job.luma, red[at], green[at], blue[at]);
        },
        marks + static_cast<std::ptrdiff_t>(kMarkSide) * kMarkSide * job.item);
}

}  // namespace crossface::CF_VARIANT

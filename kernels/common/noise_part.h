#pragma once

#include <cstddef>
#include <cstdint>

#include "noise_rows.h"
#include "variant.h"

// `noise` on the device: a thread a group of samples.
namespace crossface::CF_VARIANT {

constexpr int kNoiseThreads = 128;

// Blocks that a face in a frame of so many luma columns needs at most.
CF_HOST_DEVICE constexpr int noise_blocks(int width) {
    return (width / kNoiseGroup * kNoiseRows + kNoiseThreads - 1) / kNoiseThreads;
}

// Calls add(step, bin) for the samples of thread `thread`.
template <typename Texel, typename Add>
CF_HOST_DEVICE inline void count_answers(const Frame& frame, const NoiseRows& rows, int item, int size,
                                         const Texel* skin, int thread, Add add) {
    if (rows.groups < 1 || thread >= rows.count * rows.groups) return;
    const int number = thread / rows.groups, group = thread % rows.groups;
    const Texel* mask = skin + static_cast<std::ptrdiff_t>(size) * size * item;
    if (frame.colour.bits == kFloatBits)
        for_each_answer<float>(frame, rows, size, mask, number, group, add);
    else if (frame.colour.bits == 8)
        for_each_answer<std::uint8_t>(frame, rows, size, mask, number, group, add);
    else
        for_each_answer<std::uint16_t>(frame, rows, size, mask, number, group, add);
}

}  // namespace crossface::CF_VARIANT

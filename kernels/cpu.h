#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/frame.h"

// What the binding sees of the CPU kernels: one table of functions for each instruction set.
namespace crossface {

// Scales the frame by `scale` into the top-left corner of a black `rgb` [3, height, width].
using Resize = void(const Frame& frame, double scale, int width, int height, float* rgb);

// Fills `rgb` [3, size, size] through the affine from crop to luma coordinates.
using Crop = void(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb);

// Mean and covariance of `rgb` [3, pixels] under `mask` [pixels].
using Stats = Statistics(const float* rgb, const float* mask, std::size_t pixels);

// Lays `face` [3, size, size] over the frame's planes with weight `mask` [size, size], after the colour
// transform rgb' = colour[:, :3] rgb + colour[:, 3]. Returns the bounds of the luma samples of weight > 0
// (empty: x0 == x1); no other luma sample is written.
using Blend = Box(const Frame& frame, const Affine& crop_to_luma, int size, const float* face,
                  const float* mask, const float (&colour)[3][4]);

struct CpuKernels {
    const char* isa;
    Resize* resize;
    Crop* crop;
    Stats* stats;
    Blend* blend;
};

// The variants that this CPU can run, from the most portable to the fastest.
std::vector<CpuKernels> supported_cpu_kernels();

namespace v2 {
Resize resize;
Crop crop;
Stats stats;
Blend blend;
}  // namespace v2

namespace v3 {
Resize resize;
Crop crop;
Stats stats;
Blend blend;
}  // namespace v3

namespace v4 {
Resize resize;
Crop crop;
Stats stats;
Blend blend;
}  // namespace v4

}  // namespace crossface

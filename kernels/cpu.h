#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/frame.h"

// What the binding sees of the CPU kernels: one table of functions for each instruction set.
namespace crossface {

// All take the number of threads that may share the work; the result does not depend on it.

// Scales the frame by `scale` into the top-left corner of a black `rgb` [3, height, width].
using Resize = void(const Frame& frame, const Scale& scale, int width, int height, float* rgb, int threads);

// Fills `rgb` [3, size, size] through the affine from crop to luma coordinates.
using Crop = void(const Frame& frame, const Affine& crop_to_luma, int size, float* rgb, int threads);

// The same in binary16.
using CropHalf = void(const Frame& frame, const Affine& crop_to_luma, int size, std::uint16_t* rgb,
                      int threads);

// Mean and covariance of `rgb` [3, pixels] under `mask` [pixels].
using Stats = Statistics(const float* rgb, const float* mask, std::size_t pixels);

// The part of `mask` [size, size] that is skin in both faces [3, size, size], by their statistics, whose
// covariances are multiplied by `spread`; of every `row_step`th row, and 0 between. See common/skin.h.
using Skin = void(const float* drawn, const float* source, const float* mask, int size, int row_step,
                  const Statistics& of_drawn, const Statistics& of_source, double spread, float* out);

// Lays `face` [3, size, size] over the frame's planes with weight `mask` [size, size], after the colour
// transform rgb' = colour[:, :3] rgb + colour[:, 3]. Returns the bounds of the luma samples where the mask
// is above 0 (empty: x0 == x1); no other luma sample is written. `grain` and `mark` are added to luma, or to
// all of RGB.
using Blend = Box(const Frame& frame, const Affine& crop_to_luma, int size, const float* face,
                  const float* mask, const float (&colour)[3][4], const Grain& grain, const Mark& mark,
                  int threads);

// The mark of the face `rgb` [3, size, size] under `mask` [size, size], to `out` [64, 64]; `chips` and
// `signs` [96, 20] are its key. See common/mark.h.
using MakeMark = void(const float* rgb, const float* mask, int size, const float (&luma)[4],
                      const Affine& mark_to_face, const std::int32_t* chips, const float* signs, float* out);

// Deviations [2] of the frame's noise where the mask `skin` [size, size] of a face says so, in codes of 8
// bits, from neighbours one and two samples apart; see common/noise.h.
using Noise = void(const Frame& frame, const Affine& crop_to_luma, int size, const float* skin,
                   double* deviations);

// Fills the convex polygon that `count` edges bound: how far inside a pixel's centre lies, plus a half,
// clamped to 0..1, into `mask` [size, size].
using Fill = void(const Edge* edges, std::size_t count, int size, float* mask);

// Blurs `mask` [size, size] by `taps` [2 radius + 1] along both axes and makes of the upper half of what
// comes out a smooth ramp from 0 to 1, which fades over `border_px` at the picture's edge.
using Soften = void(const float* mask, int size, const float* taps, int radius, float border_px, float* out);

// Luma of `rgb` [3, size, size] less the same blurred by `taps` [2 radius + 1] along both axes, to `out`
// [size, size].
using Detail = void(const float* rgb, int size, const float* taps, int radius, float* out);

// `rgb` with `amount` times as much detail added, to `out` [3, size, size], another memory.
using Sharpen = void(const float* rgb, int size, const float* taps, int radius, float amount, float* out);

// Of `rgb` [3, pixels] under `mask`, in the space that `to_space` takes it to: of each channel the values
// below which (i + 1/2) / count of the weight lies, to `out` [3, count].
using Quantiles = void(const float* rgb, const float* mask, std::size_t pixels, const float (&to_space)[3][3],
                       int count, double* out);

// Lays curves [cells + 1], of values from `low` to `high`, over each channel of a space and comes back, to
// `out` [3, pixels].
using Recolour = void(const float* rgb, std::size_t pixels, const float (&to_space)[3][3],
                      const float (&from_space)[3][3], const float* const (&curves)[3], int cells, float low,
                      float high, float* out);
// Multiplies `mask` [size, size] by `map` [side, side], which shows the same square, enlarged.
using Uncover = void(const float* map, int side, float* mask, int size);

struct CpuKernels {
    const char* isa;
    Resize* resize;
    Crop* crop;
    CropHalf* crop_half;
    Stats* stats;
    Blend* blend;
    MakeMark* mark;
    Fill* fill;
    Soften* soften;
    Skin* skin;
    Noise* noise;
    Detail* detail;
    Sharpen* sharpen;
    Quantiles* quantiles;
    Recolour* recolour;
    Uncover* uncover;
};

// The variants that this CPU can run, from the most portable to the fastest.
std::vector<CpuKernels> supported_cpu_kernels();

// What a build for one instruction set defines.
#define CF_DECLARE_KERNELS(variant) \
    namespace variant {             \
    Resize resize;                  \
    Crop crop;                      \
    CropHalf crop_half;             \
    Stats stats;                    \
    Blend blend;                    \
    MakeMark mark;                  \
    Fill fill;                      \
    Soften soften;                  \
    Skin skin;                      \
    Noise noise;                    \
    Detail detail;                  \
    Sharpen sharpen;                \
    Quantiles quantiles;            \
    Recolour recolour;              \
    Uncover uncover;                \
    }

CF_DECLARE_KERNELS(v2)
CF_DECLARE_KERNELS(v3)
CF_DECLARE_KERNELS(v4)

#undef CF_DECLARE_KERNELS

}  // namespace crossface

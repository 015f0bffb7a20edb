#pragma once

#include "common/jobs.h"
#include "common/texel.h"
#include "device_blocks.h"

// Like device_launch.h: the kernels over masks, and over the values of any tensor.
namespace crossface::device {

template <typename Texel>
void launch_outline(const Grid& grid, const Edge* edges, const OutlineJob* jobs, int size, Texel* masks);

template <typename Texel>
void launch_soften_down(const Grid& grid, const SoftenJob* jobs, const float* taps, int radius, int size,
                        const Texel* masks, float* lines);

template <typename Texel>
void launch_soften_across(const Grid& grid, const SoftenJob* jobs, const float* taps, int radius,
                          float border_px, int size, const float* lines, Texel* out, double* tiles);

void launch_soften_areas(const Grid& grid, const SoftenJob* jobs, const double* tiles, int count, int pixels,
                         double* areas);

template <typename Texel>
void launch_uncover(const Grid& grid, const int* items, int side, const float* maps, int size, Texel* masks);

template <typename From, typename To>
void launch_prepare(const Grid& grid, const From* from, int count, float scale, float offset, float low,
                    float high, To* to);

template <typename Texel>
void launch_finite(const Grid& grid, const Texel* values, int each, int* finite);

}  // namespace crossface::device

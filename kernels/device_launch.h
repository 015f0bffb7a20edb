#pragma once

#include "common/blend_tile.h"
#include "common/jobs.h"
#include "common/stats_part.h"
#include "common/texel.h"
#include "device_blocks.h"

// Launches of the CUDA kernels, run on the CPU block by block and thread by thread, so that their maths and
// their use of grids and jobs can be tested where there is no GPU. Slow. Texel is float or Half; arguments
// are those of the kernels in *.cu, with addresses of host memory.
namespace crossface::device {

template <typename Texel>
void launch_resize(const Grid& grid, const DeviceFrame* frames, const ResizeJob* jobs, int width, int height,
                   Texel* rgb);

template <typename Texel>
void launch_crop(const Grid& grid, const DeviceFrame* frames, const CropJob* jobs, int size, Texel* rgb);

template <typename Texel>
void launch_stats_parts(const Grid& grid, const Texel* rgb, const Texel* mask, int pixels, ColourSums* parts);

void launch_stats_totals(const Grid& grid, const ColourSums* parts, int count, Statistics* statistics);

// `backwards` runs blocks and threads in the opposite order, which must change nothing.
template <typename Texel>
void launch_blend(const Grid& grid, const DeviceFrame* frames, const BlendJob* jobs, const Texel* faces,
                  const Texel* masks, const float* marks, int size, int planes, int* touched, bool backwards);

}  // namespace crossface::device

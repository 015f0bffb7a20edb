#pragma once

#include "common/blend_tile.h"
#include "common/jobs.h"
#include "common/stats_part.h"
#include "common/texel.h"

// Launches of the CUDA kernels, run on the CPU block by block and thread by thread, so that their maths and
// their use of jobs can be tested where there is no GPU. Slow. Texel is float or Half; arguments are those
// of the kernels in *.cu, with addresses of host memory, and the number of jobs instead of a grid.
namespace crossface::device {

template <typename Texel>
void launch_resize(const DeviceFrame* frames, const ResizeJob* jobs, int count, int width, int height,
                   Texel* rgb);

template <typename Texel>
void launch_crop(const DeviceFrame* frames, const CropJob* jobs, int count, int size, Texel* rgb);

// Both stages.
template <typename Texel>
void launch_stats(const Texel* rgb, const Texel* mask, int faces, int pixels, Statistics* statistics);

// `touched` [count]: bounds of the luma samples where a face has weight, which each job grows. `backwards`
// runs blocks and threads in the opposite order, which must change nothing.
template <typename Texel>
void launch_blend(const DeviceFrame* frames, const BlendJob* jobs, int count, const Texel* faces,
                  const Texel* masks, int size, int planes, bool backwards, Box* touched);

}  // namespace crossface::device

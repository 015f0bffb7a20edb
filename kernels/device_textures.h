#pragma once

#include <cstdint>

#include "common/jobs.h"
#include "common/mark_block.h"
#include "common/noise_part.h"
#include "common/texture_pixel.h"
#include "device_blocks.h"

// As device_launch.h, for textures.cu, noise.cu and mark.cu.
namespace crossface::device {

void launch_skin(const Grid& grid, const float* drawn, const float* source, const float* masks,
                 const Statistics* of_drawn, const Statistics* of_source, double spread, int size,
                 int row_step, float* out);
void launch_details(const Grid& grid, const SharpenJob* jobs, const float* drawn, const float* source,
                    int size, float* out);
void launch_sharpen(const Grid& grid, const SharpenJob* jobs, const float* faces, int size, float* out);
void launch_noise_counts(const Grid& grid, const DeviceFrame* frames, const CropJob* jobs, const float* skin,
                         int size, std::uint32_t* counts);
void launch_noise_totals(const Grid& grid, const CropJob* jobs, const std::uint32_t* counts,
                         double* deviations);

// `backwards` as of launch_blend.
void launch_mark(const Grid& grid, const MarkJob* jobs, const int* chips, const float* signs,
                 const float* faces, const float* masks, int size, float* memory, float* marks,
                 bool backwards);

}  // namespace crossface::device

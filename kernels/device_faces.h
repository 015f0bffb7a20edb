#pragma once

#include "common/follow_face.h"
#include "common/jobs.h"
#include "device_blocks.h"

// Like device_launch.h: the kernels that watch frames and follow faces.
namespace crossface::device {

void launch_thumbnails(const Grid& grid, const DeviceFrame* frames, float* cells);

void launch_aim_crops(const Grid& grid, const DeviceFrame* frame, const double* row_offset,
                      const FollowRule* rule, const Aim* aims, int count, DeviceFrame* crop_frames,
                      CropJob* crops);

void launch_follow_faces(const Grid& grid, const DeviceFrame* frame, const double* row_offset,
                         const FollowRule* rule, const float* points, const float* presences, Aim* aims,
                         FoundMesh* found, DeviceFrame* crop_frames, CropJob* crops);

}  // namespace crossface::device

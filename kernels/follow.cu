#include "common/follow_face.h"

namespace crossface::device {

// Aims the crops of `count` faces in a frame. Grid: threads for all. Block: kAimThreads.
extern "C" __global__ void __launch_bounds__(kAimThreads)
    aim_crops(const DeviceFrame* frame, const double* row_offset, const FollowRule* rule, const Aim* aims,
              int count, DeviceFrame* crop_frames, CropJob* crops) {
    const int item = static_cast<int>(blockIdx.x * kAimThreads + threadIdx.x);
    if (item < count) aim_crop(*frame, *row_offset, *rule, aims[item], item, crop_frames[item], crops[item]);
}

// From what the network found in the faces' crops, `points` [faces, kMeshPoints, 3] and `presences` [faces],
// to `found` [faces] and the crops in the next frame; `frame` is null after the last. Grid: faces. Block:
// kFollowThreads.
extern "C" __global__ void __launch_bounds__(kFollowThreads)
    follow_faces(const DeviceFrame* frame, const double* row_offset, const FollowRule* rule,
                 const float* points, const float* presences, Aim* aims, FoundMesh* found,
                 DeviceFrame* crop_frames, CropJob* crops) {
    __shared__ PointBounds bounds[kFollowThreads];
    const int item = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
    bounds[thread] = place_points(*rule, aims[item].crop_to_luma, points + 3 * kMeshPoints * blockIdx.x,
                                  found[item], thread);
    for (int distance = kFollowThreads / 2; distance > 0; distance /= 2) {
        __syncthreads();
        fold_bounds(bounds, thread, distance);
    }
    if (thread > 0) return;
    follow_face(*rule, bounds[0], presences[item], aims[item], found[item]);
    if (frame) aim_crop(*frame, *row_offset, *rule, aims[item], item, crop_frames[item], crops[item]);
}

}  // namespace crossface::device

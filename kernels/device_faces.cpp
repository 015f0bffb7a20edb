#include "device_faces.h"

#include "common/thumbnail_cell.h"

namespace crossface::device {

void launch_thumbnails(const Grid& grid, const DeviceFrame* frames, float* cells) {
    for (int number = 0; number < grid.x; ++number)
        for (int row = 0; row < kThumbnailRows; ++row)
            for (int column = 0; column < kThumbnailColumns; ++column)
                *cells++ = thumbnail_cell(frames[number].frame, column, row);
}

void launch_aim_crops(const Grid& grid, const DeviceFrame* frame, const double* row_offset,
                      const FollowRule* rule, const Aim* aims, int count, DeviceFrame* crop_frames,
                      CropJob* crops) {
    for (int item = 0; item < grid.x * kAimThreads; ++item)
        if (item < count)
            aim_crop(*frame, *row_offset, *rule, aims[item], item, crop_frames[item], crops[item]);
}

void launch_follow_faces(const Grid& grid, const DeviceFrame* frame, const double* row_offset,
                         const FollowRule* rule, const float* points, const float* presences, Aim* aims,
                         FoundMesh* found, DeviceFrame* crop_frames, CropJob* crops) {
    for (int item = 0; item < grid.x; ++item) {
        const PointBounds bounds = fold_block<kFollowThreads, PointBounds>(
            [&](int thread) {
                return place_points(*rule, aims[item].crop_to_luma, points + 3 * kMeshPoints * item,
                                    found[item], thread);
            },
            fold_bounds);
        follow_face(*rule, bounds, presences[item], aims[item], found[item]);
        if (frame) aim_crop(*frame, *row_offset, *rule, aims[item], item, crop_frames[item], crops[item]);
    }
}

}  // namespace crossface::device

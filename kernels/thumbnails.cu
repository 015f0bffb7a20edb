#include "common/jobs.h"
#include "common/thumbnail_cell.h"

// Grid: frames. Block: kThumbnailColumns x kThumbnailRows.
namespace crossface::device {

// Fills `cells` [frames, kThumbnailRows, kThumbnailColumns].
extern "C" __global__ void __launch_bounds__(kThumbnailCells)
    thumbnails(const DeviceFrame* frames, float* cells) {
    const int column = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
    cells[(blockIdx.x * kThumbnailRows + threadIdx.y) * kThumbnailColumns + threadIdx.x] =
        thumbnail_cell(frames[blockIdx.x].frame, column, row);
}

}  // namespace crossface::device

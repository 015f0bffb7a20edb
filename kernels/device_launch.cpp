#include "device_launch.h"

#include <cstddef>
#include <memory>

#include "common/crop_tile.h"
#include "common/resize_tile.h"

namespace crossface::device {

namespace {

// True where the face has weight.
template <typename Texel>
bool blend_block(const BlendWork<Texel>& work, BlendTile& tile, int x, int y, int planes, bool backwards) {
    const auto for_each_thread = [&](auto step) {
        for (int i = 0; i < kBlendThreads; ++i) step(backwards ? kBlendThreads - 1 - i : i);
    };
    begin_tile(tile, work.target, work.job, x, y, planes);
    bool any = false;
    for_each_thread([&](int thread) { any |= weigh_luma(work, tile, thread); });
    if (!any) return false;
    for_each_thread([&](int thread) { lay_face(work, tile, thread); });
    if (!tile.chroma) return true;
    for_each_thread([&](int thread) { sum_chroma_rows(tile, thread); });
    for_each_thread([&](int thread) { mix_chroma(work, tile, thread); });
    return true;
}

}  // namespace

template <typename Texel>
void launch_resize(const Grid& grid, const DeviceFrame* frames, const ResizeJob* jobs, int width, int height,
                   Texel* rgb) {
    for (const ResizeJob* job = jobs; job != jobs + grid.z; ++job) {
        const DeviceFrame& source = frames[job->frame];
        for_each_tile<kResizeColumns, kResizeRows>(
            grid, [&](int x, int y) { return resize_tile(source, *job, x, y, width, height); },
            [&](const ResizeTile& tile, int x, int y, int dx, int dy) {
                resize_pixel(source, *job, tile, x, y, dx, dy, width, height, rgb);
            });
    }
}

template <typename Texel>
void launch_crop(const Grid& grid, const DeviceFrame* frames, const CropJob* jobs, int size, Texel* rgb) {
    for (const CropJob* job = jobs; job != jobs + grid.z; ++job) {
        const DeviceFrame& source = frames[job->frame];
        for_each_tile<kCropColumns, kCropRows>(
            grid, [&](int x, int y) { return crop_tile(source, *job, x, y); },
            [&](const FrameTile& tile, int x, int y, int dx, int dy) {
                crop_pixel(source, *job, tile, x, y, dx, dy, size, rgb);
            });
    }
}

template <typename Texel>
void launch_stats_parts(const Grid& grid, const Texel* rgb, const Texel* mask, int pixels,
                        ColourSums* parts) {
    for (int face = 0; face < grid.y; ++face) {
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(face) * pixels;
        for (int part = 0; part < grid.x; ++part)
            parts[face * grid.x + part] = fold_block<kStatsThreads, ColourSums>(
                [&](int thread) { return sum_pixels(rgb + 3 * first, mask + first, pixels, part, thread); },
                fold_sums);
    }
}

void launch_stats_totals(const Grid& grid, const ColourSums* parts, int count, Statistics* statistics) {
    for (int face = 0; face < grid.x; ++face)
        statistics[face] = statistics_of(fold_block<kStatsTotalThreads, ColourSums>(
            [&](int thread) {
                return sum_parts(parts + static_cast<std::ptrdiff_t>(face) * count, count, thread);
            },
            fold_sums));
}

template <typename Texel>
void launch_blend(const Grid& grid, const DeviceFrame* frames, const BlendJob* jobs, const Texel* faces,
                  const Texel* masks, const float* marks, int size, int planes, int* touched,
                  bool backwards) {
    const auto tile = std::make_unique<BlendTile>();
    for (const BlendJob* job = jobs; job != jobs + grid.y; ++job) {
        const BlendWork<Texel> work = blend_work(frames, *job, faces, masks, marks, size);
        const int across = blend_tiles(job->box.x0, job->box.x1);
        const int count = across * blend_tiles(job->box.y0, job->box.y1);
        for (int block = 0; block < grid.x; ++block) {
            const int index = backwards ? grid.x - 1 - block : block;
            if (index >= count) continue;
            const int x = blend_origin(job->box.x0) + index % across * kBlendTile;
            const int y = blend_origin(job->box.y0) + index / across * kBlendTile;
            if (blend_block(work, *tile, x, y, planes, backwards)) touched[job->item] = 1;
        }
    }
}

#define CF_FOR_TEXEL(Texel)                                                                                  \
    template void launch_resize(const Grid&, const DeviceFrame*, const ResizeJob*, int, int, Texel*);        \
    template void launch_crop(const Grid&, const DeviceFrame*, const CropJob*, int, Texel*);                 \
    template void launch_stats_parts(const Grid&, const Texel*, const Texel*, int, ColourSums*);             \
    template void launch_blend(const Grid&, const DeviceFrame*, const BlendJob*, const Texel*, const Texel*, \
                               const float*, int, int, int*, bool);

CF_FOR_TEXEL(float)
CF_FOR_TEXEL(Half)

}  // namespace crossface::device

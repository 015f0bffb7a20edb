#include "device_launch.h"

#include <cstddef>
#include <memory>
#include <vector>

#include "common/crop_tile.h"
#include "common/resize_tile.h"

namespace crossface::device {

namespace {

// Blocks of one thread a pixel, which share what `begin` makes.
template <int kColumns, int kRows, typename Begin, typename Pixel>
void for_each_tile(int width, int height, Begin begin, Pixel pixel) {
    for (int y = 0; y < height; y += kRows)
        for (int x = 0; x < width; x += kColumns) {
            const auto tile = begin(x, y);
            for (int dy = 0; dy < kRows; ++dy)
                for (int dx = 0; dx < kColumns; ++dx) pixel(tile, x, y, dx, dy);
        }
}

// One block; a loop over the threads ends where the kernel has a barrier.
template <int kThreads, typename Sum>
ColourSums add_up(Sum sum) {
    std::vector<ColourSums> sums;
    for (int thread = 0; thread < kThreads; ++thread) sums.push_back(sum(thread));
    for (int distance = kThreads / 2; distance > 0; distance /= 2)
        for (int thread = 0; thread < kThreads; ++thread) fold_sums(sums.data(), thread, distance);
    return sums[0];
}

void grow(Box& touched, const BlendTile& tile) {
    for (int dy = 0; dy < kBlendTile; ++dy)
        for (int dx = 0; dx < kBlendTile; ++dx) {
            if (!(tile.weight[dy + kBlendHalo][dx + kBlendHalo] > 0.0f)) continue;
            const int x = tile.x + dx, y = tile.y + dy;
            touched = {x < touched.x0 ? x : touched.x0, y < touched.y0 ? y : touched.y0,
                       x + 1 > touched.x1 ? x + 1 : touched.x1, y + 1 > touched.y1 ? y + 1 : touched.y1};
        }
}

template <typename Texel>
void blend_block(const BlendWork<Texel>& work, BlendTile& tile, int x, int y, int planes, bool backwards,
                 Box& touched) {
    const auto for_each_thread = [&](auto step) {
        for (int i = 0; i < kBlendThreads; ++i) step(backwards ? kBlendThreads - 1 - i : i);
    };
    begin_tile(tile, work.target, work.job, x, y, planes);
    bool any = false;
    for_each_thread([&](int thread) { any |= weigh_luma(work, tile, thread); });
    if (!any) return;
    grow(touched, tile);
    for_each_thread([&](int thread) { lay_face(work, tile, thread); });
    if (!tile.chroma) return;
    for_each_thread([&](int thread) { sum_chroma_rows(tile, thread); });
    for_each_thread([&](int thread) { mix_chroma(work, tile, thread); });
}

}  // namespace

template <typename Texel>
void launch_resize(const DeviceFrame* frames, const ResizeJob* jobs, int count, int width, int height,
                   Texel* rgb) {
    for (const ResizeJob* job = jobs; job != jobs + count; ++job) {
        const DeviceFrame& source = frames[job->frame];
        for_each_tile<kResizeColumns, kResizeRows>(
            width, height, [&](int x, int y) { return resize_tile(source, *job, x, y, width, height); },
            [&](const ResizeTile& tile, int x, int y, int dx, int dy) {
                resize_pixel(source, *job, tile, x, y, dx, dy, width, height, rgb);
            });
    }
}

template <typename Texel>
void launch_crop(const DeviceFrame* frames, const CropJob* jobs, int count, int size, Texel* rgb) {
    for (const CropJob* job = jobs; job != jobs + count; ++job) {
        const DeviceFrame& source = frames[job->frame];
        for_each_tile<kCropColumns, kCropRows>(
            size, size, [&](int x, int y) { return crop_tile(source, *job, x, y); },
            [&](const FrameTile& tile, int x, int y, int dx, int dy) {
                crop_pixel(source, *job, tile, x, y, dx, dy, size, rgb);
            });
    }
}

template <typename Texel>
void launch_stats(const Texel* rgb, const Texel* mask, int faces, int pixels, Statistics* statistics) {
    const int count = stats_parts(pixels);
    std::vector<ColourSums> parts;
    for (int face = 0; face < faces; ++face) {
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(face) * pixels;
        parts.clear();
        for (int part = 0; part < count; ++part)
            parts.push_back(add_up<kStatsThreads>(
                [&](int thread) { return sum_pixels(rgb + 3 * first, mask + first, pixels, part, thread); }));
        statistics[face] = statistics_of(
            add_up<kStatsTotalThreads>([&](int thread) { return sum_parts(parts.data(), count, thread); }));
    }
}

template <typename Texel>
void launch_blend(const DeviceFrame* frames, const BlendJob* jobs, int count, const Texel* faces,
                  const Texel* masks, int size, int planes, bool backwards, Box* touched) {
    const auto tile = std::make_unique<BlendTile>();
    for (int i = 0; i < count; ++i) {
        const BlendJob& job = jobs[i];
        const BlendWork<Texel> work = blend_work(frames, job, faces, masks, size);
        const int across = blend_tiles(job.box.x0, job.box.x1), down = blend_tiles(job.box.y0, job.box.y1);
        for (int block = 0; block < across * down; ++block) {
            const int index = backwards ? across * down - 1 - block : block;
            blend_block(work, *tile, blend_origin(job.box.x0) + index % across * kBlendTile,
                        blend_origin(job.box.y0) + index / across * kBlendTile, planes, backwards,
                        touched[i]);
        }
    }
}

template void launch_resize(const DeviceFrame*, const ResizeJob*, int, int, int, float*);
template void launch_resize(const DeviceFrame*, const ResizeJob*, int, int, int, Half*);
template void launch_crop(const DeviceFrame*, const CropJob*, int, int, float*);
template void launch_crop(const DeviceFrame*, const CropJob*, int, int, Half*);
template void launch_stats(const float*, const float*, int, int, Statistics*);
template void launch_stats(const Half*, const Half*, int, int, Statistics*);
template void launch_blend(const DeviceFrame*, const BlendJob*, int, const float*, const float*, int, int,
                           bool, Box*);
template void launch_blend(const DeviceFrame*, const BlendJob*, int, const Half*, const Half*, int, int, bool,
                           Box*);

}  // namespace crossface::device

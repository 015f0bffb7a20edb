#pragma once

#include <cstddef>

#include "frame_pixel.h"
#include "jobs.h"
#include "texel.h"
#include "variant.h"

// `resize` on the device, as one thread of it sees it.
namespace crossface::CF_VARIANT {

// Threads of a block, and pixels of a tile.
constexpr int kResizeColumns = 32, kResizeRows = 8;

struct ResizeTile {
    FrameTile frame;
    int picture_width, picture_height;  // what the frame covers of the result
};

CF_HOST_DEVICE inline int scaled_length(int length, double scale, int limit) {
    return clamp(static_cast<int>(length * scale + 0.5), 1, limit);
}

CF_HOST_DEVICE inline ResizeTile resize_tile(const DeviceFrame& source, const ResizeJob& job, int x, int y,
                                             int width, int height) {
    const Affine to_luma{{{1.0 / job.scale.x, 0.0, 0.0}, {0.0, 1.0 / job.scale.y, 0.0}}};
    const Plane& luma = source.frame.planes[0];
    return {frame_tile<Tent>(source.frame.colour, to_luma, x, y),
            scaled_length(luma.width, job.scale.x, width), scaled_length(luma.height, job.scale.y, height)};
}

// Pixel (dx, dy) of the tile that begins at (x, y), into the batch `rgb` [items, 3, height, width]; black
// beyond the picture.
template <typename Texel>
CF_HOST_DEVICE inline void resize_pixel(const DeviceFrame& source, const ResizeJob& job,
                                        const ResizeTile& tile, int x, int y, int dx, int dy, int width,
                                        int height, Texel* rgb) {
    if (x + dx >= width || y + dy >= height) return;
    Rgb pixel{0.0f, 0.0f, 0.0f};
    if (x + dx < tile.picture_width && y + dy < tile.picture_height)
        pixel = frame_pixel<Tent>(source, tile.frame, dx, dy);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(width) * height;
    Texel* out = rgb + 3 * plane * job.item + static_cast<std::ptrdiff_t>(y + dy) * width + (x + dx);
    write_texel(out[0], pixel.r);
    write_texel(out[plane], pixel.g);
    write_texel(out[2 * plane], pixel.b);
}

}  // namespace crossface::CF_VARIANT

#pragma once

#include <cstddef>

#include "frame_pixel.h"
#include "jobs.h"
#include "texel.h"
#include "variant.h"

// `crop` on the device, as one thread of it sees it.
namespace crossface::CF_VARIANT {

// Threads of a block, and pixels of a tile.
constexpr int kCropColumns = 32, kCropRows = 8;

CF_HOST_DEVICE inline FrameTile crop_tile(const DeviceFrame& source, const CropJob& job, int x, int y) {
    return frame_tile<CatmullRom>(source.frame.colour, job.crop_to_luma, x, y);
}

// Pixel (dx, dy) of the tile that begins at (x, y), into the batch `rgb` [items, 3, size, size].
template <typename Texel>
CF_HOST_DEVICE inline void crop_pixel(const DeviceFrame& source, const CropJob& job, const FrameTile& tile,
                                      int x, int y, int dx, int dy, int size, Texel* rgb) {
    if (x + dx >= size || y + dy >= size) return;
    const Rgb pixel = frame_pixel<CatmullRom>(source, tile, dx, dy);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    Texel* out = rgb + 3 * plane * job.item + static_cast<std::ptrdiff_t>(y + dy) * size + (x + dx);
    write_texel(out[0], pixel.r);
    write_texel(out[plane], pixel.g);
    write_texel(out[2 * plane], pixel.b);
}

}  // namespace crossface::CF_VARIANT
